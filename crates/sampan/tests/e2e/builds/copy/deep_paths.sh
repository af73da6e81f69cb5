cat >Dockerfile <<'END'
FROM busybox
COPY . /dst/
END
d=.; for i in $(seq 30); do d=$d/a-directory-with-a-long-name-$i; done; mkdir -p $d; echo x >$d/file
build .
