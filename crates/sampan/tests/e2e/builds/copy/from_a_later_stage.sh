cat >Dockerfile <<'END'
FROM busybox AS a
COPY --from=b /etc/passwd /
FROM busybox AS b
RUN true
END
build .
