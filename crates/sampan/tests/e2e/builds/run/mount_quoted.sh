cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=tmpfs,"target=/t" --mount=type=bind,target=/b,readonly=true ls -d /t /b >/a
RUN --mount=type=bind,target=/b,readwrite touch /b/x && ls /b/x >/c
END
build .
