cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=secret true
END
build .
