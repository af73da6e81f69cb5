cat >Dockerfile <<'END'
FROM busybox
SHELL ["/bin/echo"]
RUN hello
CMD there
END
build .
