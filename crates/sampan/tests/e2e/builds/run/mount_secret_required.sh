cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=secret,id=missing,required true
END
build .
