cat >Dockerfile <<'END'
FROM busybox
LABEL a=1
END
build --build-arg NOTHING=1 .
