cat >Dockerfile <<'END'
FROM busybox AS base
RUN exit 1
FROM base
RUN echo x >/x
END
build --build-context base=docker-image://busybox .
