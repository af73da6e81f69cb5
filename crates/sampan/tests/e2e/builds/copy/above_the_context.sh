cat >Dockerfile <<'END'
FROM busybox
COPY ../f /a
COPY /d/../f /b
COPY d/../../../f /c
END
echo f >f; mkdir d
build .
