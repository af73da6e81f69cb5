cat >Dockerfile <<'END'
FROM busybox
CMD ['a', 'b']
END
build .
