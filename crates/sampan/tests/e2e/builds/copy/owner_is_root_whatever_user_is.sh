cat >Dockerfile <<'END'
FROM busybox
USER 1000
COPY f /a/b
END
echo f >f; chown 7:8 f
build .
