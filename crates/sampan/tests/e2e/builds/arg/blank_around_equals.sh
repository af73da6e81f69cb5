cat >Dockerfile <<'END'
FROM busybox
ARG A = 1
END
build .
