cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=cache,target=/x,foo=bar true
END
build .
