cat >Dockerfile <<'OUTER'
FROM busybox
ADD <<END /a
x
END
OUTER
build .
