cat >Dockerfile <<'END'
FROM busybox
ONBUILD MAINTAINER x
END
build .
