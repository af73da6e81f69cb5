cat >Dockerfile <<'END'
FROM busybox
EXPOSE 8080:80
EXPOSE 127.0.0.1:1:2
END
build .
