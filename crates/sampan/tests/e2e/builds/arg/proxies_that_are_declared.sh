cat >Dockerfile <<'END'
FROM busybox
ARG NO_PROXY
LABEL proxy=$NO_PROXY
RUN echo "$NO_PROXY" >/proxies
END
build --build-arg NO_PROXY=example.org .
