cat >Dockerfile <<'END'
FROM busybox
SHELL ["/bin/sh", "-e", "-c"]
RUN false || true; echo $0 $- >/shell
CMD echo hi
ENTRYPOINT x y
HEALTHCHECK CMD z
SHELL ["/bin/sh", "-c"]
RUN echo $- >/after
END
build .
