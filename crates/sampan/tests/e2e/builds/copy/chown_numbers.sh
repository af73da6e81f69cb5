cat >Dockerfile <<'END'
FROM busybox
COPY --chown=5 f /a/
COPY --chown=5:6 d /b
COPY --chown=:7 f /c/d/e
COPY --chown=0:8 f /bin/
END
echo f >f; mkdir -p d/e; echo x >d/e/x
build .
