cat >Dockerfile <<'END'
FROM busybox
RUN false | true
SHELL ["/bin/sh", "-o", "pipefail", "-c"]
RUN false | true
END
build .
