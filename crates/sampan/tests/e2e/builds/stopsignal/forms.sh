cat >Dockerfile <<'END'
FROM busybox
STOPSIGNAL SIGUSR1
STOPSIGNAL 9
END
build .
