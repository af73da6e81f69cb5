cat >Dockerfile <<'END'
FROM busybox
RUN echo a >/a && chmod 4755 /a && echo b >/b && chown 12:34 /b && mkdir -m 1777 /t && mkdir -m 2770 /g && chown 1:2 /g
RUN chmod 600 /b && chown 9 /t
RUN chmod 700 /root && chown 3:4 /root
END
build .
