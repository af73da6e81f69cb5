cat >Dockerfile <<'END'
FROM busybox
USER a b
END
build .
