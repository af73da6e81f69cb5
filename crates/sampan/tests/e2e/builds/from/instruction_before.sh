cat >Dockerfile <<'END'
RUN true
FROM busybox
END
build .
