cat >Dockerfile <<'END'
FROM busybox AS a
SHELL ["/bin/sh", "-x", "-c"]
FROM a
RUN echo a
CMD b
END
build .
