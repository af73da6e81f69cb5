cat >Dockerfile <<'END'
FROM busybox
COPY --chown=0:strangers f /a
END
echo f >f
build .
