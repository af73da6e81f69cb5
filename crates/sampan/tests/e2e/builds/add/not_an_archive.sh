cat >Dockerfile <<'END'
FROM busybox
ADD text.tar /a/
ADD text.gz /b/
ADD f d /c/
END
echo text >text.tar; echo text | gzip -n >text.gz; echo f >f; mkdir d; echo x >d/x
build .
