cat >Dockerfile <<'END'
FROM busybox
LABEL before=[$A]
ARG A=1
LABEL after=[$A]
FROM busybox
LABEL other=[$A]
END
build --build-arg A=2 .
