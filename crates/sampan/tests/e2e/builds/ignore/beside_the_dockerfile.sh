cat >other.Dockerfile <<'END'
FROM busybox
COPY . /ctx/
END
echo '*.a' >.dockerignore
echo '*.b' >other.Dockerfile.dockerignore
touch x.a x.b
build -f other.Dockerfile .
