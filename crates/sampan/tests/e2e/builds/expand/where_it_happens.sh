cat >Dockerfile <<'END'
FROM busybox AS x
FROM busybox
ARG v=val n=8 s=USR1 from=x
ENV e=$v f=${v}2 $v=key
LABEL $v=label l=$v
EXPOSE $n $n/udp
VOLUME /$v ["/a$v"]
VOLUME ["/b$v"]
WORKDIR /$v
USER $n:$n
STOPSIGNAL $s
COPY $v-file /$v-file
RUN echo $v '$v'
CMD echo $v
ENTRYPOINT ["echo", "$v"]
HEALTHCHECK CMD echo $v
SHELL ["/bin/$v"]
ONBUILD RUN echo $v
MAINTAINER $v
END
echo x >val-file
build .
