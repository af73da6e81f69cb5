# What WORKDIR makes belongs to root.
cat >Dockerfile <<'END'
FROM busybox
USER 1000:1000
WORKDIR /home/user
COPY x .
RUN id -u
END
echo x >x
build .
