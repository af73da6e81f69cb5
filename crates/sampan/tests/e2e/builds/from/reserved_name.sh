cat >Dockerfile <<'END'
FROM busybox AS scratch
END
build .
