cat >Dockerfile <<'END'
FROM busybox
COPY f g d /dst/
END
echo f >f; echo g >g; mkdir d; echo h >d/h
build .
