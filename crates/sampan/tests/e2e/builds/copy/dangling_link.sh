cat >Dockerfile <<'END'
FROM busybox
COPY link /dst
END
ln -s nowhere link
build .
