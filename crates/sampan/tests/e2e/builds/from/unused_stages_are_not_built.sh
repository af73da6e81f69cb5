cat >Dockerfile <<'END'
FROM busybox AS unused
RUN exit 1
FROM nothing/like/it AS also
COPY missing /
FROM busybox
RUN true
END
build .
