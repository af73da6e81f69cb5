# What stands before FROM is for FROM, and for stages that ask for it.
cat >Dockerfile <<'END'
ARG BASE=busybox
ARG VERSION=1
ARG UNASKED=u
FROM $BASE AS one
ARG VERSION
LABEL version=$VERSION unasked=$UNASKED
FROM one
LABEL second=$VERSION
ARG UNASKED=own
LABEL now=$UNASKED
END
build --build-arg VERSION=2 .
