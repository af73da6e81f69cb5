cat >Dockerfile <<'END'
FROM busybox
WORKDIR a
WORKDIR b/c
RUN pwd >/pwd
WORKDIR ../d
WORKDIR /x/./z//
RUN pwd >>/pwd
END
build .
