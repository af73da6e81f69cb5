cat >Dockerfile <<'END'
FROM busybox
COPY f /f
COPY f /f
RUN true
END
echo f >f
build .
