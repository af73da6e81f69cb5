cat >Dockerfile <<'END'
FROM busybox
ENV a.b=1 a-b=2 1a=3 "q u"=4
RUN env | grep -E '^(a|1|q)' | sort >/env
END
build .
