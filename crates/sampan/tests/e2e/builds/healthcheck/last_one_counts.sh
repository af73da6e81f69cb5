cat >Dockerfile <<'END'
FROM busybox
HEALTHCHECK --retries=3 CMD x
HEALTHCHECK --interval=1h CMD y
END
build .
