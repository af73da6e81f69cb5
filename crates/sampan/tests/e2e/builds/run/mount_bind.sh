cat >Dockerfile <<'END'
FROM busybox AS other
RUN mkdir /o && echo o >/o/o
FROM busybox
RUN --mount=target=/ctx cp /ctx/f /f
RUN --mount=type=bind,source=d,target=/d,rw echo w >/d/written; cp /d/x /x; ls /d >/listed
RUN --mount=type=bind,src=d/x,dst=/some/file cp /some/file /y
RUN --mount=type=bind,from=other,source=/o,target=/o cat /o/o >/z; touch /o/t 2>/dev/null || echo read-only >>/z
RUN --mount=from=busybox,source=/etc,target=/image-etc head -1 /image-etc/passwd >/p
WORKDIR /w
RUN --mount=source=f,target=rel cat rel >/rel
RUN --mount=from=named,target=/named cp /named/n /n
END
echo f >f; mkdir d n; echo x >d/x; echo n >n/n
build --build-context named=n .
