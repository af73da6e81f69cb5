cat >Dockerfile <<'END'
FROM busybox
STOPSIGNAL SIGFOO
END
build .
