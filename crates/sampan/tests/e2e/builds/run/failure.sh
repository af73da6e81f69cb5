cat >Dockerfile <<'END'
FROM busybox
RUN echo out; echo err >&2; exit 42
END
build .
