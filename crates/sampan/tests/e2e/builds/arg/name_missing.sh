cat >Dockerfile <<'END'
FROM busybox
ARG
END
build .
