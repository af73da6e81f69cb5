cat >Dockerfile <<'END'
FROM busybox
RUN echo a >/a && ln /a /b && ln -s a /c && ln -s /no/where /dead && mkfifo /pipe && mknod /null c 1 3 && mknod /blk b 8 1
RUN ln /a /d && chmod 600 /b
RUN rm /a && mv /b /e
END
build .
