cat >Dockerfile <<'END'
FROM busybox
healthcheck --retries=2 cmd x
END
build .
