cat >Dockerfile <<'END'
FROM busybox
ONBUILD
END
build .
