cat >Dockerfile <<'END'
FROM busybox:a:b
END
build .
