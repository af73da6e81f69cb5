cat >Dockerfile <<'END'
FROM busybox
ENV --a=b c
END
build .
