cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=tmpfs,target=/t echo x >/t/x && stat -c '%a %u:%g' /t >/a
RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | awk 'NR == 2 { print $2 }' >/b
RUN --mount=type=tmpfs,target=/etc ls -A /etc >/c
END
build .
