cat >Dockerfile <<'END'
# escape=`
# escape=\
FROM busybox
END
build .
