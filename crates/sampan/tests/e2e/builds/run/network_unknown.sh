cat >Dockerfile <<'END'
FROM busybox
RUN --network=foo true
END
build .
