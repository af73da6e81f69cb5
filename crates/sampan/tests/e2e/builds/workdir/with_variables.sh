cat >Dockerfile <<'END'
FROM busybox
ENV DIR=/some/place
WORKDIR $DIR/$NOTHING
WORKDIR "with space"
RUN pwd >/pwd
END
build .
