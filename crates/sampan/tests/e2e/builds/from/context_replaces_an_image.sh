cat >Dockerfile <<'END'
FROM not/there:1
RUN echo x >/x
END
build --build-context not/there:1=docker-image://busybox .
