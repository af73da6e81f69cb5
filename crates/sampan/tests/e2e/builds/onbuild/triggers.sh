cat >parent.Dockerfile <<'END'
FROM busybox
ONBUILD COPY f /from-child
ONBUILD RUN echo ran >/ran
ONBUILD ENV A=1
onbuild label b=2
END
cat >Dockerfile <<'END'
FROM parent-with-triggers
RUN cat /from-child /ran >/both
END
echo f >f
"$BUILDER" build -q -t parent-with-triggers -f parent.Dockerfile . >/dev/null
build .
