cat >Dockerfile <<'END'
FROM busybox AS base
CMD ["c"]
FROM base
ENTRYPOINT ["e"]
END
build .
