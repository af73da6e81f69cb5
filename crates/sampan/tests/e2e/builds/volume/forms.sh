cat >Dockerfile <<'END'
FROM busybox
VOLUME /a /b
VOLUME ["/c d", "/e/"]
VOLUME f
END
build .
