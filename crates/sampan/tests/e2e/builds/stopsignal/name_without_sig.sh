cat >Dockerfile <<'END'
FROM busybox
STOPSIGNAL KILL
END
build .
