cat >Dockerfile <<'END'
FROM busybox
RUN mkdir -p /d/old && echo x >/d/old/x
RUN rm -r /d
COPY d /d/
END
mkdir -p d; echo y >d/y
build .
