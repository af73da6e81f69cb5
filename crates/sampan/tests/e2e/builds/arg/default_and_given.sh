# A value that is given replaces the default; RUN has both in its environment, the image has none.
cat >Dockerfile <<'END'
FROM busybox
ARG A=default
ARG B=default
ARG C
RUN echo "$A $B ${C-unset}" >/args
END
build --build-arg B=given .
