cat >Dockerfile <<'END'
FROM busybox
CMD ["a"]
CMD b
CMD ["c"]
END
build .
