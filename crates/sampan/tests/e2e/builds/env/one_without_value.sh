cat >Dockerfile <<'END'
FROM busybox
ENV A=1 B
END
build .
