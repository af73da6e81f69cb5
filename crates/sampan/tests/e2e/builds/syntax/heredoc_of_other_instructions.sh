cat >Dockerfile <<'OUTER'
FROM busybox
LABEL a=<<END
CMD cat <<END
OUTER
build .
