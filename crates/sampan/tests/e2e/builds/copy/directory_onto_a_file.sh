cat >Dockerfile <<'END'
FROM busybox
RUN echo x >/dst
COPY d /dst
END
mkdir d; echo f >d/x
build .
