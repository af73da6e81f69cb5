cat >Dockerfile <<'END'
FROM busybox
ARG path=/usr/local/lib
LABEL a="${path//l/L}" i="${path//l}"
END
build .
