cat >Dockerfile <<'END'
FROM busybox
COPY secret /
END
echo secret >.dockerignore; touch secret
build .
