cat >Dockerfile <<'END'
FROM busybox
COPY . /ctx/
END
printf '%s\n' '*.a' '! x.a' '!' >.dockerignore
touch x.a y.a
build .
