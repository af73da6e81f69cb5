cat >Dockerfile <<'END'
# escape=`
FROM busybox
RUN echo a `
  b >/a
LABEL p=C:\dir q=`$x r="`"quoted`""
COPY f C:\dir\
END
echo f >f
build .
