cat >Dockerfile <<'END'
FROM busybox
HEALTHCHECK --interval=5 CMD x
END
build .
