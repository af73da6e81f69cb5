cat >Dockerfile <<'END'
FROM busybox AS a
ENTRYPOINT ["e"]
CMD ["c"]
FROM a
ENTRYPOINT []
END
build .
