cat >Dockerfile <<'END'
FROM busybox
ONBUILD ONBUILD RUN x
END
build .
