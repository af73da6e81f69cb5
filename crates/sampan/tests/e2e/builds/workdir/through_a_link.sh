cat >Dockerfile <<'END'
FROM busybox
RUN mkdir /real && ln -s /real /link && ln -s missing /dangling
WORKDIR /link/sub
RUN echo x >here
END
build .
