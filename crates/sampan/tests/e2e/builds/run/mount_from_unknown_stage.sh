cat >Dockerfile <<'END'
FROM busybox
RUN --mount=from=Nothing:x:y,target=/x true
END
build .
