cat >Dockerfile <<'END'
FROM busybox
LABEL schlüssel="wert ü" e='a"b' f="a'b" g=a"b c"d'e f'
ENV A=日本 B="\u00e9"
RUN echo 'ü' >/ü
END
build .
