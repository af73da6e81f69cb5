cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=bind,target=/x,size=5m true
END
build .
