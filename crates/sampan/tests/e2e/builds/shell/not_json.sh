cat >Dockerfile <<'END'
FROM busybox
SHELL /bin/sh -c
END
build .
