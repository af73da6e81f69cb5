cat >Dockerfile <<'END'
FROM busybox
ARG nothing
COPY a $nothing /dst/
END
echo a >a
build .
