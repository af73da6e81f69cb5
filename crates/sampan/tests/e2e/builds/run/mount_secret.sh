cat >Dockerfile <<'END'
FROM busybox
RUN --mount=type=secret,id=s cat /run/secrets/s >/a; stat -c '%a %u:%g' /run/secrets/s /run/secrets >>/a
RUN --mount=type=secret,id=s,target=/x/y,mode=0440,uid=5,gid=6 stat -c '%a %u:%g' /x/y >/b
RUN --mount=type=secret,id=s,env=TOKEN echo $TOKEN >/c; ls /run/secrets 2>/dev/null >>/c; true
RUN --mount=type=secret,id=missing ls /run/secrets >/d 2>/dev/null; true
RUN --mount=type=secret,id=e,env=E,target=/e cat /e >/f; echo $E >>/f
RUN --mount=type=secret,target=/named/t1 cat /named/t1 >/g
WORKDIR /w
RUN --mount=type=secret,id=s,target=rel cat rel >/h
END
echo secret >s; export FROMENV=envsecret
build --secret id=s,src=s --secret id=e,env=FROMENV --secret id=t1,src=s .
