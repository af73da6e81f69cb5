# Directories that are made for the destination get the mode too, but not the one that a directory becomes.
cat >Dockerfile <<'END'
FROM busybox
COPY --chmod=700 d /a/b/c
COPY --chmod=700 d /e/f/
COPY --chmod=750 --chown=5:6 f /g/h
COPY --chmod=go-rwx d /i/j/
COPY --chmod=go-rwx f /k/l/
COPY --chmod=+t f /m/n
END
mkdir -p d/sub; echo x >d/x; echo f >f; chmod 755 d d/sub
build .
