cat >Dockerfile <<'END'
FROM scratch
COPY f /
ARG TARGETPLATFORM
ARG TARGETVARIANT
LABEL p=$TARGETPLATFORM v=$TARGETVARIANT
END
echo f >f
build --platform linux/arm/v7 .
