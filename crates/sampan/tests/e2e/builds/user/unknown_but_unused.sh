cat >Dockerfile <<'END'
FROM busybox
USER nobody-here:nor-there
END
build .
