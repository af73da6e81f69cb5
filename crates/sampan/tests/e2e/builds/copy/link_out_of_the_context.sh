cat >Dockerfile <<'END'
FROM busybox
COPY link /dst
END
ln -s ../../../../etc/hostname link
build .
