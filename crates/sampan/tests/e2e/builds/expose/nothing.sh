cat >Dockerfile <<'END'
FROM busybox
EXPOSE
END
build .
