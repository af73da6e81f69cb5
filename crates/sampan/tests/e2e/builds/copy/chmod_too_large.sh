cat >Dockerfile <<'END'
FROM busybox
COPY --chmod=17777 f /a
END
echo f >f
build .
