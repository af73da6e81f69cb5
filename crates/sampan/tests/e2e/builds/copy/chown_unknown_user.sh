cat >Dockerfile <<'END'
FROM busybox
COPY --chown=stranger f /a
END
echo f >f
build .
