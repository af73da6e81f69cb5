cat >Dockerfile <<'END'
FROM busybox AS a
END
build --target nothing .
