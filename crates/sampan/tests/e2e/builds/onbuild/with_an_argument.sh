cat >p.Dockerfile <<'END'
FROM busybox
ONBUILD ARG A=1
ONBUILD RUN echo $A >/a
ONBUILD USER 7
END
cat >Dockerfile <<'END'
FROM parent-that-asks
LABEL a=$A
END
"$BUILDER" build -q -t parent-that-asks -f p.Dockerfile . >/dev/null
build --build-arg A=2 .
