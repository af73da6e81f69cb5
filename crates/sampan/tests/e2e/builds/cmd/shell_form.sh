cat >Dockerfile <<'END'
FROM busybox
CMD echo "a  b"   $HOME \
    c
END
build .
