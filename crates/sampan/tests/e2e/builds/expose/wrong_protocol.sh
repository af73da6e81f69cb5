cat >Dockerfile <<'END'
FROM busybox
EXPOSE 80/icmp
END
build .
