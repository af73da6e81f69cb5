cat >Dockerfile <<'END'
FROM --foo=bar busybox
END
build .
