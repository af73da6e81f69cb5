# Values of one instruction see what was before it.
cat >Dockerfile <<'END'
FROM busybox
ENV abc=hello
ENV abc=bye def=$abc
ENV ghi=$abc
LABEL a="$def $ghi"
END
build .
