cat >Dockerfile <<'END'
FROM busybox
RUN mkdir -m 777 /w
WORKDIR /w
USER 1000:1001
RUN echo x >x; mkdir d; ln -s x l; id >id; umask >umask
END
build .
