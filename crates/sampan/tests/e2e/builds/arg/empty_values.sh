cat >Dockerfile <<'END'
FROM busybox
ARG A=
ARG B=default
ARG C
RUN echo "[${A-unset}] [${B-unset}] [${C-unset}]" >/args
LABEL c=${C-unset}
END
build --build-arg B= .
