cat >Dockerfile <<'END'
FROM busybox
VOLUME /data
RUN echo a >/data/a
COPY b /data/b
END
echo b >b
build .
