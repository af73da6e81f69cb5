cat >Dockerfile <<'END'
FROM busybox
RUN --mount=source=missing,target=/m true
END
build .
