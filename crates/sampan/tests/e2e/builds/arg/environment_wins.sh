cat >Dockerfile <<'END'
FROM busybox
ENV A=env
ARG A=arg
RUN echo $A >/a
LABEL a=$A
ARG B=arg
ENV B=env-$B
RUN echo $B >/b
END
build --build-arg A=given --build-arg B=given .
