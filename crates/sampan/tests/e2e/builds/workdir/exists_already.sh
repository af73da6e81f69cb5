cat >Dockerfile <<'END'
FROM busybox
RUN mkdir -m 700 /d && chown 5:6 /d
WORKDIR /d
WORKDIR /d/e
END
build .
