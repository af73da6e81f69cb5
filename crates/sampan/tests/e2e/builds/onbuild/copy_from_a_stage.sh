cat >p.Dockerfile <<'END'
FROM busybox
ONBUILD COPY --from=other /o /o
END
cat >Dockerfile <<'END'
FROM busybox AS other
RUN echo o >/o
FROM parent-that-copies
END
"$BUILDER" build -q -t parent-that-copies -f p.Dockerfile . >/dev/null
build .
