cat >Dockerfile <<'END'
FROM busybox
ARG A=1
LABEL one=$A
ARG A=2
LABEL two=$A
ARG A
LABEL three=$A
END
build .
