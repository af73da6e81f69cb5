cat >Dockerfile <<'END'
FROM busybox
HEALTHCHECK --interval=1s CMD
END
build .
