cat >Dockerfile <<'END'
FROM busybox
ARG T=/t
ARG ID=var
RUN --mount=type=cache,id=$ID,target=$T echo x >$T/x; ls $T >/a
RUN --mount=type=bind,source=f,target=${T}/f cp $T/f /f
END
echo f >f
build .
