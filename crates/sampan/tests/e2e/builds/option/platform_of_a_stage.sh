cat >Dockerfile <<'END'
FROM --platform=linux/arm64 scratch
ARG TARGETARCH
COPY f /$TARGETARCH
END
echo f >f
build .
