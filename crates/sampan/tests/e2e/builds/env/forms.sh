cat >Dockerfile <<'END'
FROM busybox
ENV A=1 B="two words" C=three\ words D='$A' E=
ENV F a b   c
ENV G "quoted words"
ENV H=a\
b
ENV I=1 \
    J=2 \

    K=3
END
build .
