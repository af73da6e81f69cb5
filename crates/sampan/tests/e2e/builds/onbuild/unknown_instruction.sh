cat >Dockerfile <<'END'
FROM busybox
ONBUILD FOO x
END
build .
