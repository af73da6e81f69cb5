cat >Dockerfile <<'END'
FROM busybox
ENV A
END
build .
