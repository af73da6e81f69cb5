cat >Dockerfile <<'END'
# comment
# escape=`
FROM busybox
RUN echo a \
  b >/a
END
build .
