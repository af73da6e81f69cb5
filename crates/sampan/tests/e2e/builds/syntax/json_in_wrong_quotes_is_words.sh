cat >Dockerfile <<'END'
FROM busybox
ENTRYPOINT ["a", "b"
VOLUME ["/a", /b]
END
build .
