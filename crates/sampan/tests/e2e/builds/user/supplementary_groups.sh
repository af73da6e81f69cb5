cat >Dockerfile <<'END'
FROM busybox
RUN echo 'some:x:1234:55::/:/bin/sh' >>/etc/passwd && echo 'team:x:77:some,other' >>/etc/group && chmod 1777 /tmp
USER some
RUN id -G >/tmp/groups
USER some:3
RUN id -G >/tmp/with-group
END
build .
