# Directories and files that are made to mount something on.
cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=cache,target=/new/cache true
RUN --mount=type=tmpfs,target=/new/tmp true
RUN --mount=type=secret,id=s,target=/new/secret true
RUN --mount=source=f,target=/new/file true
RUN --mount=source=.,target=/new/dir true
END
echo s >s; echo f >f
build --secret id=s,src=s .
