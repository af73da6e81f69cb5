cat >Dockerfile <<'END'
FROM busybox A
END
build .
