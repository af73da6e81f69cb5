cat >Dockerfile <<'END'
FROM busybox AS one
RUN mkdir -p /d/e && echo x >/d/e/x && chown -R 4:5 /d && chmod 700 /d/e && ln /d/e/x /d/hard && ln -s e/x /d/soft
FROM busybox
COPY --from=one /d /all
COPY --from=one --chown=9:9 /d /chowned
COPY --from=one /d/e/x /d/hard /files/
END
build .
