cat >Dockerfile <<'END'
FROM busybox
MAINTAINER
END
build .
