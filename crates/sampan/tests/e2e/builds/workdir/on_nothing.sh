cat >Dockerfile <<'END'
FROM scratch
WORKDIR /a/b
COPY x .
END
echo x >x
build .
