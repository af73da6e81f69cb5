cat >Dockerfile <<'END'
FROM Busybox
END
build .
