cat >Dockerfile <<'END'
FROM busybox
COPY missing /
END
build .
