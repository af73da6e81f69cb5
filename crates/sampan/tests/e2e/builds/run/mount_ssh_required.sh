cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=ssh,required=true true
END
build .
