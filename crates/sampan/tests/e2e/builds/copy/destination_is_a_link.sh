cat >Dockerfile <<'END'
FROM busybox
RUN mkdir -p /real/sub && ln -s /real /abs && ln -s real rel && ln -s /not/yet /new && ln -s ../../.. /real/up && echo x >/target && ln -s /target /to-file
COPY f /abs/
COPY f /rel/sub/g
COPY d /abs
COPY f /real/up/escaped
COPY f /to-file
END
echo f >f; mkdir d; echo x >d/x
build .
