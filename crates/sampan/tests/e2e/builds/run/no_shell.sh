cat >Dockerfile <<'END'
FROM scratch
RUN echo x
END
build .
