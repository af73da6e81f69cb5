cat >Dockerfile <<'END'
FROM busybox
ARG A=1
RUN echo "$HTTP_PROXY $https_proxy" >/proxies
END
build --build-arg HTTP_PROXY=http://p:1 --build-arg https_proxy=http://q:2 .
