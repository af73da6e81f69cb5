cat >parent.Dockerfile <<'END'
FROM busybox
ENV A=1
LABEL a=1
EXPOSE 1
VOLUME /v
USER 5
WORKDIR /w
STOPSIGNAL 3
HEALTHCHECK CMD x
SHELL ["/bin/sh", "-e", "-c"]
ENTRYPOINT ["e"]
CMD ["c"]
END
cat >Dockerfile <<'END'
FROM parent
ENV B=2
LABEL b=2
EXPOSE 2
VOLUME /u
COPY f f
END
echo f >f
"$BUILDER" build -q -t parent -f parent.Dockerfile . >/dev/null
build .
