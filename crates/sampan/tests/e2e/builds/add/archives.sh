cat >Dockerfile <<'END'
FROM busybox
ADD plain.tar /plain/
ADD gz.tar.gz /gz
ADD bz.tar.bz2 /bz/
ADD zst.tar.zst /zst/
ADD misnamed.txt /misnamed/
END
mkdir -p d/e; echo x >d/e/x; chmod 600 d/e/x; chmod 711 d/e; chmod 700 d; ln -s x d/e/l; ln d/e/x d/e/h
tar -cf plain.tar --owner=3 --group=4 --numeric-owner -C d .
gzip -c plain.tar >gz.tar.gz; bzip2 -c plain.tar >bz.tar.bz2; zstd -qc plain.tar >zst.tar.zst
cp gz.tar.gz misnamed.txt
build .
