cat >Dockerfile <<'END'
FROM busybox
RUN echo x >/dev/shm/x; echo y >/dev/y; echo z >/tmp/z; echo r >/run/r 2>/dev/null || mkdir /run && echo r >/run/r
END
build .
