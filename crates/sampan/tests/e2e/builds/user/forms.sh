cat >Dockerfile <<'END'
FROM busybox
RUN echo 'some:x:1234:55::/home/some:/bin/sh' >>/etc/passwd && echo 'team:x:77:' >>/etc/group && chmod 777 /tmp
USER some
RUN id -u >/tmp/a; id -g >>/tmp/a; echo $HOME >>/tmp/a
USER some:team
RUN id -u >/tmp/b; id -g >>/tmp/b
USER 99
RUN id -u >/tmp/c; id -g >>/tmp/c; echo $HOME >>/tmp/c
USER 99:98
RUN id -u >/tmp/d; id -g >>/tmp/d
USER :77
WORKDIR /made/by
COPY x /copied
END
echo x >x
build .
