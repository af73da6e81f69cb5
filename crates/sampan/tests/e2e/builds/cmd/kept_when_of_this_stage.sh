cat >Dockerfile <<'END'
FROM busybox
CMD ["c"]
ENTRYPOINT ["e"]
END
build .
