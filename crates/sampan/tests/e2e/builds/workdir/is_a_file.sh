cat >Dockerfile <<'END'
FROM busybox
RUN echo x >/file
WORKDIR /file
END
build .
