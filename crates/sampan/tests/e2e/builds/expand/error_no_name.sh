cat >Dockerfile <<'END'
FROM busybox
LABEL a=${}
END
build .
