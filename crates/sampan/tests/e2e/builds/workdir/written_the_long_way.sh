# A whole path stays in the image as it is written.
cat >Dockerfile <<'END'
FROM busybox
WORKDIR /bin/../x/
RUN pwd >/pwd
COPY f .
END
echo f >f
build .
