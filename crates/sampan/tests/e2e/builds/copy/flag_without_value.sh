cat >Dockerfile <<'END'
FROM busybox
COPY --chown f /
END
build .
