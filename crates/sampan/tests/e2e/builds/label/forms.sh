cat >Dockerfile <<'END'
FROM busybox
LABEL a=1 "b c"="d e" f='g' h.i.j="multi \
line" k=
LABEL "quoted"="a\"b" l=x\ y
LABEL old form of label
LABEL a=2
END
build .
