cat >Dockerfile <<'END'
# escape=x
FROM busybox
END
build .
