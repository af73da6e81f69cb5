cat >Dockerfile <<'END'
FROM busybox
RUN echo x >/dst
COPY f /dst/
END
echo f >f
build .
