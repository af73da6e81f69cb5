cat >Dockerfile <<'END'
FROM busybox
COPY . /ctx/
END
printf '%s\n' 'a' '!a/b/c' >.dockerignore
mkdir -p a/b/c/d a/x; touch a/b/c/d/e a/b/f a/x/y
chmod 700 a/b
build .
