cat >Dockerfile <<'END'
FROM busybox
CMD [ "a", \
      "b", \
      # a comment
      "c" ]
END
build .
