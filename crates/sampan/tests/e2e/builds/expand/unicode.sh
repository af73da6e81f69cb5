cat >Dockerfile <<'END'
FROM busybox
ARG w=日本語テキスト
LABEL a=${w#日} b=${w%ト} c=${w/本/x} d="${w//?/é}" é=è
ENV Ä=ö
END
build .
