cat >Dockerfile <<'END'
# a comment

FROM busybox
  # indented
   RUN echo a \
   # inside

       b \
# at the start
       c >/a
RUN echo x\
y >/b
LABEL a=1 \

      b=2
RUN echo end >/c \
END
build .
