cat >Dockerfile <<'END'
FROM busybox AS Base
RUN echo b >/b
ENV A=1
FROM base
RUN echo c >/c
END
build .
