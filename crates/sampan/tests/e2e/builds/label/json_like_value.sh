cat >Dockerfile <<'END'
FROM busybox
LABEL json='{"a": [1, 2]}' other="{\"a\": \"\$b\"}"
END
build .
