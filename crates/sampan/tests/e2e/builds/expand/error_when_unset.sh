cat >Dockerfile <<'END'
FROM busybox
LABEL a="${nothing:?is needed}"
END
build .
