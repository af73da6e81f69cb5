cat >Dockerfile <<'END'
FROM busybox
COPY f*.txt /dst
COPY d* /dir
END
echo f >f1.txt; mkdir d1; echo x >d1/x
build .
