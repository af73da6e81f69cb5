cat >Dockerfile <<'END'
ARG A=busy
ARG B=${A}box
FROM ${B:-nothing}:${TAG:-latest}
ARG B
LABEL b=$B a=$A
END
build .
