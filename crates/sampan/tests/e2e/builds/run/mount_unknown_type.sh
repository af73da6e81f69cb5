cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=foo,target=/x true
END
build .
