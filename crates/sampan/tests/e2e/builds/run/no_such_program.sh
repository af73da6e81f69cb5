cat >Dockerfile <<'END'
FROM busybox
RUN ["/no/such", "program"]
END
build .
