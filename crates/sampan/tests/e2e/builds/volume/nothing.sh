cat >Dockerfile <<'END'
FROM busybox
VOLUME
END
build .
