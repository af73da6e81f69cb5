cat >Dockerfile <<'END'
FROM busybox AS a
HEALTHCHECK CMD x
FROM a
HEALTHCHECK NONE
END
build .
