cat >Dockerfile <<'END'
FROM busybox
RUN mkdir -p /dst && echo old >/dst/l && ln -s /elsewhere /dst/f
COPY d /dst/
END
mkdir d; ln -s target d/l; echo f >d/f
build .
