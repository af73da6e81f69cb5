cat >Dockerfile <<'END'
FROM busybox AS a
ONBUILD RUN echo x >/x
FROM a
RUN cat /x >/y
END
build .
