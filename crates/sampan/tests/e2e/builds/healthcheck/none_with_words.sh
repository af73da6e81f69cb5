cat >Dockerfile <<'END'
FROM busybox
HEALTHCHECK NONE x
END
build .
