cat >Dockerfile <<'END'
FROM busybox AS a
LABEL n=1
FROM busybox AS a
LABEL n=2
FROM a
END
build .
