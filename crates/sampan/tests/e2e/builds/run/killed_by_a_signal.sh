cat >Dockerfile <<'END'
FROM busybox
RUN kill -9 $$
END
build .
