cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=cache,target=/cache echo a >/cache/a
RUN --mount=type=cache,target=/cache cat /cache/a >/a; stat -c '%a %u:%g' /cache >>/a
RUN --mount=type=cache,id=own,target=/c2,mode=0700,uid=5,gid=6 stat -c '%a %u:%g' /c2 >/b
RUN --mount=type=cache,id=own,target=/c2,ro touch /c2/x 2>/dev/null || echo read-only >/c
RUN --mount=type=cache,target=/cache,sharing=private ls /cache >/d; true
RUN --mount=type=cache,target=/cache,sharing=locked ls /cache >/e
END
build .
