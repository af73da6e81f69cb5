cat >Dockerfile <<'END'
FROM busybox AS a
WORKDIR /a
FROM a
WORKDIR b
COPY x y
FROM busybox
COPY --from=1 /a/ .
END
echo x >x
build .
