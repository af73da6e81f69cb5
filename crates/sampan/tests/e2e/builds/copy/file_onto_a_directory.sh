cat >Dockerfile <<'END'
FROM busybox
RUN mkdir -p /dst/x
COPY d /dst/
END
mkdir d; echo f >d/x
build .
