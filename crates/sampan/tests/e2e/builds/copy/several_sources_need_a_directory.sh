cat >Dockerfile <<'END'
FROM busybox
COPY f g /dst
END
echo f >f; echo g >g
build .
