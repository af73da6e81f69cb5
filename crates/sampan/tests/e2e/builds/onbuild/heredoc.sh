cat >p.Dockerfile <<'OUTER'
FROM busybox
ONBUILD COPY <<END /h
x
END
OUTER
cat >Dockerfile <<'END'
FROM parent-with-text
END
"$BUILDER" build -q -t parent-with-text -f p.Dockerfile . >/dev/null
build .
