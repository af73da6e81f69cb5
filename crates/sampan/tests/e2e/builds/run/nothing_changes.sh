cat >Dockerfile <<'END'
FROM busybox
RUN true
RUN touch /bin
RUN cat /etc/passwd
END
build .
