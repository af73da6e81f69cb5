cat >Dockerfile <<'END'
FROM busybox
COPY --from=other / /dst/
COPY --from=other sub/x /y
END
mkdir -p elsewhere/sub; echo x >elsewhere/sub/x; echo z >elsewhere/z
build --build-context other=elsewhere .
