cat >Dockerfile <<'END'
FROM busybox
RUN mkdir -p /d/e && echo 1 >/d/e/1 && echo 2 >/d/2 && echo 3 >/3
RUN rm -r /d/e /3 && rm -rf /home
RUN mkdir /d/e && echo new >/d/e/new
RUN rm -r /d && mkdir /d && echo fresh >/d/fresh
RUN rm -r /d && echo file >/d
RUN rm /d && ln -s /etc /d
END
build .
