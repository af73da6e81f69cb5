cat >Dockerfile <<'END'
FROM busybox
WORKDIR /a b
END
build .
