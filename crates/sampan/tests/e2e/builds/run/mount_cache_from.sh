cat >Dockerfile <<'END'
FROM busybox AS seed
RUN mkdir -p /s/t && echo seed >/s/t/x && chown -R 5:6 /s
FROM busybox
RUN --mount=type=cache,id=seeded,from=seed,source=/s,target=/c cat /c/t/x >/a; stat -c '%a %u:%g' /c /c/t >>/a; echo more >/c/more
RUN --mount=type=cache,id=seeded,from=seed,source=/s,target=/c ls /c >/b
END
build .
