cat >Dockerfile <<'END'
FROM busybox
COPY --from=other . /ctx/
END
echo '*.a' >.dockerignore
mkdir other; echo '*.b' >other/.dockerignore; touch other/x.a other/x.b
build --build-context other=other .
