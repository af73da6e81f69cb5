cat >Dockerfile <<'END'
FROM busybox
ADD --chown=5:6 a.tar /a/
ADD --chmod=600 a.tar /b/
END
mkdir s; echo f >s/f; chmod 755 s/f
tar -cf a.tar --owner=3 --group=4 -C s f
build .
