cat >Dockerfile <<'END'
FROM busybox
ARG A
ARG B=default
RUN echo "$A $B" >/args
END
export A=from-environment
unset B
build --build-arg A --build-arg B .
