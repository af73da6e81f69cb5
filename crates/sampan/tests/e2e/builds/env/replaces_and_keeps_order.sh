cat >Dockerfile <<'END'
FROM busybox
ENV B=1
ENV A=1
ENV B=2 C=3
ENV PATH=/x:$PATH
END
build .
