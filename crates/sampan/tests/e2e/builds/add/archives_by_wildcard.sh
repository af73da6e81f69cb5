cat >Dockerfile <<'END'
FROM busybox
ADD *.tar /dst/
END
for i in 1 2; do echo $i >f$i; tar -cf $i.tar --owner=0 --group=0 f$i; done
build .
