cat >Dockerfile <<'END'
FROM busybox
COPY **/*.txt /dst/
END
mkdir -p a/b; echo 1 >1.txt; echo 2 >a/2.txt; echo 3 >a/b/3.txt
build .
