cat >Dockerfile <<'END'
FROM busybox
COPY f /dst/
COPY f /other
COPY f /bin
COPY f .
COPY ./f ./g
END
echo x >f; chmod 640 f
build .
