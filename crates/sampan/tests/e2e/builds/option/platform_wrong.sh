cat >Dockerfile <<'END'
FROM --platform=foo/bar/baz/qux busybox
END
build .
