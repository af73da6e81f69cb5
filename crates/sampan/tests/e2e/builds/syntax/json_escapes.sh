cat >Dockerfile <<'END'
FROM busybox
CMD ["a\\b", "\"q\"", "\n", "\/", "<&>", "é"]
ENTRYPOINT [ ]
VOLUME [ "/a" , "/b" ]
END
build .
