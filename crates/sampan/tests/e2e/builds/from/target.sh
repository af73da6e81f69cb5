cat >Dockerfile <<'END'
FROM busybox AS a
LABEL stage=a
FROM busybox AS b
LABEL stage=b
FROM busybox
LABEL stage=c
END
build --target A .
