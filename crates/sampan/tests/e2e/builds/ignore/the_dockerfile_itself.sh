cat >Dockerfile <<'END'
FROM busybox
COPY . /ctx/
END
printf 'Dockerfile\n.dockerignore\n' >.dockerignore
touch f
build .
