printf 'FROM busybox\nRUN echo a >/a \\' >Dockerfile
build .
