cat >Dockerfile <<'END'
FROM busybox
USER nobody-here
RUN true
END
build .
