cat >Dockerfile <<'END'
FROM busybox
COPY *.txt /dst/
END
echo 'b*' >.dockerignore; touch a.txt b.txt
build .
