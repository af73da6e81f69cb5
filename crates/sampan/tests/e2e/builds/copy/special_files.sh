cat >Dockerfile <<'END'
FROM busybox
COPY . /dst/
END
mkfifo fifo; echo f >f
build .
