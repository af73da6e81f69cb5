cat >Dockerfile <<'END'
FROM busybox
ENV A   it's "here" $PATH
ENV B x=y z=1
ENV C \$x
END
build .
