cat >Dockerfile <<'END'
FROM busybox
WORKDIR "/a
END
build .
