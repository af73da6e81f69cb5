cat >Dockerfile <<'END'
FROM busybox
STOPSIGNAL 9 10
END
build .
