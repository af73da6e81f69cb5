cat >Dockerfile <<'END'
FROM busybox
ENV
END
build .
