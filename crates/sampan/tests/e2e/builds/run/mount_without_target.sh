cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=bind,source=x true
END
build .
