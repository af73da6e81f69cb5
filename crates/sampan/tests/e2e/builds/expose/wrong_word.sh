cat >Dockerfile <<'END'
FROM busybox
EXPOSE http
END
build .
