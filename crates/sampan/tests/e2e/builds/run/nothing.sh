cat >Dockerfile <<'END'
FROM busybox
RUN
END
build .
