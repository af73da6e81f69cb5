cat >Dockerfile <<'END'
FROM busybox
ONBUILD RUN echo   a    b
ONBUILD ADD . /src
onbuild  copy   x   y
ONBUILD CMD ["a",  "b"]
END
build .
