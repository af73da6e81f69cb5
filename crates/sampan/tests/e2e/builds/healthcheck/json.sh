cat >Dockerfile <<'END'
FROM busybox
HEALTHCHECK CMD ["a", "b c"]
END
build .
