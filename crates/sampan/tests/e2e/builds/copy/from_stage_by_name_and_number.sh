cat >Dockerfile <<'END'
FROM busybox AS one
RUN echo 1 >/one && chown 4:5 /one && chmod 600 /one
FROM busybox
RUN echo 2 >/two
FROM busybox
COPY --from=one /one /a
COPY --from=ONE /one /A
COPY --from=0 /one /b
COPY --from=1 two /c
END
build .
