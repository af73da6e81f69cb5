cat >Dockerfile <<'END'
FROM busybox
ARG nothing=
WORKDIR /${nothing:?}
END
build .
