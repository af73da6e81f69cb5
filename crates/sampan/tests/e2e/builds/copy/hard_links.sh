cat >Dockerfile <<'END'
FROM busybox
COPY d /dst/
END
mkdir d; echo f >d/a; ln d/a d/b; ln d/a d/c
build .
