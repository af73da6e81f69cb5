cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=cache,target=/c,sharing=foo true
END
build .
