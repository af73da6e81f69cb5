cat >Dockerfile <<'END'
FROM busybox
STOPSIGNAL sigrtmin+3
END
build .
