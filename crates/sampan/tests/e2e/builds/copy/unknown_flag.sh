cat >Dockerfile <<'END'
FROM busybox
COPY --chwon=1 f /
END
build .
