cat >Dockerfile <<'END'
FROM busybox
COPY f
END
echo f >f
build .
