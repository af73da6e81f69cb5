cat >Dockerfile <<'END'
FROM busybox
CMD ["a", 1]
END
build .
