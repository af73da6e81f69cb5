cat >Dockerfile <<'END'
FROM busybox
ENTRYPOINT
END
build .
