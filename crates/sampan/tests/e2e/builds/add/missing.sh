cat >Dockerfile <<'END'
FROM busybox
ADD missing /
END
build .
