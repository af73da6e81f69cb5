cat >Dockerfile <<'END'
FROM busybox AS 1a
END
build .
