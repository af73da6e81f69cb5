cat >Dockerfile <<'END'
FROM busybox
CMD ["a", "b c", "\u00e9\t"]
END
build .
