# What is in a directory is copied, not the directory.
cat >Dockerfile <<'END'
FROM busybox
COPY a /dst
COPY a/ /slash/
COPY a/b /dst/other
END
mkdir -p a/b/empty; echo x >a/b/c; chmod 600 a/b/c; chmod 700 a; chmod 750 a/b
build .
