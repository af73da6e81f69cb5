cat >Dockerfile <<'END'
FROM busybox
RUN echo "a  b" >/a && \
    # a comment between
    echo c \
    >>/a
RUN ["/bin/sh", "-c", "echo 'json  form' >/b"]
RUN [ "touch", "/c d" ]
RUN [not json] || echo shell >/e
run echo $0 >/f
END
build .
