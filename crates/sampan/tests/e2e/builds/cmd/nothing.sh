cat >Dockerfile <<'END'
FROM busybox
CMD
END
build .
