cat >Dockerfile <<'END'
FROM busybox
WORKDIR
END
build .
