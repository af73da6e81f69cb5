cat >Dockerfile <<'END'
FROM busybox
SHELL []
END
build .
