cat >Dockerfile <<'END'
FROM busybox
EXPOSE 80 443/tcp 53/udp 53/UDP 9/sctp
EXPOSE 7000-7003 8000-8001/udp
EXPOSE 80
END
build .
