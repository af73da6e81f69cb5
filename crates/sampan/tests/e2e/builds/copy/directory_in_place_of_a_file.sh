cat >Dockerfile <<'END'
FROM busybox
RUN mkdir /dst && echo x >/dst/sub
COPY d /dst/
END
mkdir -p d/sub; echo f >d/sub/x
build .
