cat >Dockerfile <<'END'
ARG A=wrong
FROM ${A}
ARG A
LABEL a=$A
END
build --build-arg A=busybox .
