cat >Dockerfile <<'END'
FROM busybox
COPY --chmod=rwx f /a
END
echo f >f
build .
