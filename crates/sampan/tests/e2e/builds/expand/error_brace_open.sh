cat >Dockerfile <<'END'
FROM busybox
LABEL a="${x"
END
build .
