cat >Dockerfile <<'END'
FROM busybox
MAINTAINER  Some One <some@example.org>
MAINTAINER "Other  One"
END
build .
