cat >Dockerfile <<'END'
FROM busybox
ENTRYPOINT exec top -b
CMD ["x"]
END
build .
