cat >Dockerfile <<'END'
FROM busybox AS first
ARG TARGETSTAGE
LABEL stage=$TARGETSTAGE
FROM first AS second
END
build --target first .
