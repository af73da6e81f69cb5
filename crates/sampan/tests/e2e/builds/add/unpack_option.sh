cat >Dockerfile <<'END'
FROM busybox
ADD --unpack=false a.tar /kept/
ADD --unpack=true a.tar /unpacked/
ADD --unpack a.tar /also/
END
mkdir s; echo f >s/f; chmod 644 s/f
tar -cf a.tar --sort=name --mtime=@0 --owner=3 --group=4 -C s f
build .
