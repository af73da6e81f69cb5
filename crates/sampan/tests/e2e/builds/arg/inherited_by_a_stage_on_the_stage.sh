cat >Dockerfile <<'END'
FROM busybox AS base
ARG A=1
ENV E=$A
FROM base
RUN echo "${A-unset} $E" >/a
LABEL a=$A
END
build .
