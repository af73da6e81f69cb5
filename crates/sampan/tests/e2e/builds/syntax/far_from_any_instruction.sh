cat >Dockerfile <<'END'
FROM busybox
XYZZY true
END
build .
