cat >Dockerfile <<'END'
FROM busybox
COPY --exclude=* d /a/
COPY --exclude=f f /b/
END
mkdir d; echo x >d/x; echo f >f
build .
