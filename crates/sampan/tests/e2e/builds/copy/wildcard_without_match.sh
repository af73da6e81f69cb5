cat >Dockerfile <<'END'
FROM busybox
COPY *.none /dst/
END
build .
