cat >Dockerfile <<'END'
FROM busybox
HEALTHCHECK FOO x
END
build .
