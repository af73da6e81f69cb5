cat >Dockerfile <<'END'
FROM busybox
RUN echo "[$TARGETPLATFORM] [$BUILDPLATFORM]" >/platforms
LABEL a=[$TARGETARCH]
ARG TARGETOS=other
LABEL os=$TARGETOS
END
build .
