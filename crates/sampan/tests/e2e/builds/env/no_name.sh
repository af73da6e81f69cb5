cat >Dockerfile <<'END'
FROM busybox
ENV =1
END
build .
