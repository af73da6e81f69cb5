cat >Dockerfile <<'END'
FROM busybox
ARG Z=1
ARG B="x y"
ARG A
RUN true
RUN ["true"]
ENV E=1
RUN true
END
build --build-arg A='it'"'"'s' .
