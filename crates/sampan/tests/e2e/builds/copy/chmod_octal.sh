cat >Dockerfile <<'END'
FROM busybox
COPY --chmod=600 f /a
COPY --chmod=0755 d /b
COPY --chmod=4711 f /c
COPY --chmod=1777 d /e
ARG MODE=640
COPY --chmod=$MODE f /new/dir/
END
echo f >f; mkdir -p d/e; echo x >d/e/x; ln -s x d/e/l; chmod 644 f d/e/x; chmod 755 d d/e
build .
