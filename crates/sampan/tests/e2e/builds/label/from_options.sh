cat >Dockerfile <<'END'
FROM busybox
LABEL a=file b=file
END
build --label a=option --label c --label d=x=y .
