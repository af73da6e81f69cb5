cat >Dockerfile <<'END'
FROM busybox
COPY empty /dst
COPY empty /dst/
COPY empty f /both/
END
mkdir -m 701 empty; echo f >f
build .
