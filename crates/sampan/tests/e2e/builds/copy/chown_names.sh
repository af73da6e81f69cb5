cat >Dockerfile <<'END'
FROM busybox
RUN echo 'some:x:1234:55::/:/bin/sh' >>/etc/passwd && echo 'team:x:77:' >>/etc/group
COPY --chown=some f /a
COPY --chown=some:team f /b
COPY --chown=99:team f /c
COPY --chown=some:9 f /d
ARG WHO=some
COPY --chown=$WHO f /e
END
echo f >f
build .
