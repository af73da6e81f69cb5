cat >Dockerfile <<'OUTER'
FROM busybox
RUN <<END
echo a
exit 7
END
OUTER
build .
