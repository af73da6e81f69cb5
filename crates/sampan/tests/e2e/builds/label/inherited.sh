cat >Dockerfile <<'END'
FROM busybox AS base
LABEL a=base b=base
FROM base
LABEL b=child
FROM busybox
LABEL c=1
END
build --target base .
build .
