cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=ssh echo "[$SSH_AUTH_SOCK]" >/a
END
build .
