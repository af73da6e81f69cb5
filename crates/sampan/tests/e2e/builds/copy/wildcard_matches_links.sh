cat >Dockerfile <<'END'
FROM busybox
COPY l* /dst/
END
echo f >f; mkdir d; echo x >d/x; ln -s f l1; ln -s d l2
build .
