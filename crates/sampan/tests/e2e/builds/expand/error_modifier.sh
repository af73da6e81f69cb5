cat >Dockerfile <<'END'
FROM busybox
ARG x=1
LABEL a=${x:=2}
END
build .
