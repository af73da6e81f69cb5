cat >Dockerfile <<'END'
FROM busybox
EXPOSE 70000
END
build .
