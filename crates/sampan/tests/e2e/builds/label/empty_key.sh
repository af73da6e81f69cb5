cat >Dockerfile <<'END'
FROM busybox
LABEL ""=x
END
build .
