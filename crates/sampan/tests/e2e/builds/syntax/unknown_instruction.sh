cat >Dockerfile <<'END'
FROM busybox
RUNN true
END
build .
