cat >Dockerfile <<'END'
FROM busybox
LABEL
END
build .
