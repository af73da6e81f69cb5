cat >Dockerfile <<'END'
ARG S=a
FROM busybox AS a
RUN true
FROM busybox
ARG S=a
COPY --from=$S /etc/passwd /
END
build .
