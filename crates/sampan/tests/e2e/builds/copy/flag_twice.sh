cat >Dockerfile <<'END'
FROM busybox
COPY --chown=1 --chown=2 f /
END
build .
