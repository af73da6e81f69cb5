cat >Dockerfile <<'END'
FROM busybox AS a
RUN true
FROM busybox
COPY --from=a /missing /
END
build .
