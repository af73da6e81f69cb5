# An ENTRYPOINT takes away the base's CMD, but not the one of this stage.
cat >Dockerfile <<'END'
FROM busybox
ENTRYPOINT ["e"]
END
build .
