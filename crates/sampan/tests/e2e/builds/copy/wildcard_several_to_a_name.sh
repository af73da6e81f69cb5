cat >Dockerfile <<'END'
FROM busybox
COPY f*.txt /dst
END
echo f >f1.txt; echo g >f2.txt
build .
