cat >Dockerfile <<'END'
FROM busybox
RUN --network=none ip -o link | grep -c : >/links
RUN --network=default true
END
build .
