cat >Dockerfile <<'OUTER'
FROM busybox
COPY <<END /a
text
OUTER
build .
