cat >Dockerfile <<'END'
FROM busybox
RUN mkdir -p /c && echo old >/c/old
RUN --mount=type=cache,id=over,target=/c ls -A /c >/listed; echo n >/c/new
RUN ls -A /c >/after
END
build .
