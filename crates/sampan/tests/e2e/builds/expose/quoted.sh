cat >Dockerfile <<'END'
FROM busybox
ARG P="80 81"
EXPOSE "90" $P
END
build .
