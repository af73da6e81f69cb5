cat >Dockerfile <<'END'
FROM busybox
COPY *.txt /txt/
COPY f?.md /one/
COPY [ab]* /ab/
COPY d*/x /sub/
COPY [^a-d].c /not/
END
touch a.txt b.txt c f1.md f22.md e.c c.c; mkdir d1 d2; echo 1 >d1/x; echo 2 >d2/y; mkdir a-dir; echo z >a-dir/z
build .
