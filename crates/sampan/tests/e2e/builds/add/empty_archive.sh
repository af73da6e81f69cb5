cat >Dockerfile <<'END'
FROM busybox
ADD empty.tar /dst/
END
tar -cf empty.tar -T /dev/null
build .
