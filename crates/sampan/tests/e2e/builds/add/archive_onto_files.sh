cat >Dockerfile <<'END'
FROM busybox
RUN mkdir -p /dst/d && echo old >/dst/f && echo keep >/dst/d/keep && mkdir /dst/becomes-file
ADD a.tar /dst/
END
mkdir -p s/d; echo new >s/f; echo n >s/d/n; echo file >s/becomes-file
tar -cf a.tar --owner=0 --group=0 -C s f d becomes-file
build .
