cat >Dockerfile <<'END'
FROM busybox
RUN ln -s /not/yet /new
COPY f /new/
END
echo f >f
build .
