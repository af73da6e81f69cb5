cat >Dockerfile <<'END'
FROM busybox
HEALTHCHECK --interval=500us CMD x
END
build .
