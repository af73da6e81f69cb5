cat >Dockerfile <<'END'
FROM busybox
COPY f /f
RUN echo x >/x
END
echo f >f
"$BUILDER" build -q . >/dev/null
build --no-cache .
