cat >Dockerfile <<'END'
ARG BASE
FROM $BASE
END
build .
