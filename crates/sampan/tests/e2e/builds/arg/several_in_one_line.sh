cat >Dockerfile <<'END'
FROM busybox
ARG a=1 b="two words" c d='$a'
ARG e=$a$b
RUN echo "$a/$b/${c-unset}/$d/$e" >/args
LABEL l="$a/$b/$c/$d/$e"
END
build --build-arg c=3 .
