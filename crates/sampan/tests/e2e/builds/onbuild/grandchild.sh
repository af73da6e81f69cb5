cat >p.Dockerfile <<'END'
FROM busybox
ONBUILD RUN echo x >>/x
END
cat >c.Dockerfile <<'END'
FROM parent-once
END
cat >Dockerfile <<'END'
FROM child-of-once
RUN true
END
"$BUILDER" build -q -t parent-once -f p.Dockerfile . >/dev/null
"$BUILDER" build -q -t child-of-once -f c.Dockerfile . >/dev/null
build .
