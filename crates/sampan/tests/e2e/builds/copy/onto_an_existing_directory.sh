# A directory that is there gets the mode of the one that is copied onto it; what it had stays.
cat >Dockerfile <<'END'
FROM busybox
RUN mkdir -m 700 /dst && chown 5:6 /dst && echo old >/dst/old && echo old >/dst/x
COPY a /dst
END
mkdir a; echo new >a/x; chmod 711 a
build .
