cat >Dockerfile <<'END'
FROM busybox
RUN mkdir -p /a/b && echo x >/a/b/x
RUN mv /a /z && echo y >/z/y
RUN mkdir /a && mv /z/b /a/
END
build .
