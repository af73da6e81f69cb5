cat >Dockerfile <<'END'
FROM busybox
ENV A="a  b" HOME=/x
RUN env | grep -E '^(A|HOME|PATH|PWD|SHLVL|HOSTNAME)=' | sort >/env
RUN ["/bin/sh", "-c", "echo \"$A\" >/a"]
USER 1000
RUN echo $HOME >/tmp/home
END
build .
