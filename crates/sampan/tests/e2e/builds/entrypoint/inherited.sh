cat >Dockerfile <<'END'
FROM busybox AS a
ENTRYPOINT ["e", "f"]
FROM a
CMD ["c"]
END
build .
