cat >Dockerfile <<'END'
FROM busybox
WORKDIR /w
COPY . .
COPY / /all/
COPY ./ /dot/
COPY d/. /ddot/
END
echo f >f; mkdir d; echo x >d/x
build .
