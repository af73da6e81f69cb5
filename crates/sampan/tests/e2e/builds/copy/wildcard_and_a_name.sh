cat >Dockerfile <<'END'
FROM busybox
COPY f *.none /dst/
END
echo f >f
build .
