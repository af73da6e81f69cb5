cat >Dockerfile <<'END'
FROM busybox
EXPOSE 80-70
END
build .
