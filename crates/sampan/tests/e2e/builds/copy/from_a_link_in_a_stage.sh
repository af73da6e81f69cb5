cat >Dockerfile <<'END'
FROM busybox AS a
RUN mkdir /real && echo x >/real/x && ln -s /real /link && ln -s /real/x /lx && ln -s ../../etc/passwd /real/out
FROM busybox
COPY --from=a /link /dst/
COPY --from=a /lx /x
COPY --from=a /link/x /y
COPY --from=a /real/out /out
END
build .
