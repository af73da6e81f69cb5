cat >Dockerfile <<'END'
FROM busybox
ONBUILD FROM x
END
build .
