cat >Dockerfile <<'END'
FROM busybox
ARG path=/usr/local/lib
ARG what=local
LABEL a="${path/l/L}" b="${path//l/L}" c="${path/l}x" d="${path//\//:}" e="${path/$what/other}" f="${path//?/x}"
LABEL g="${path/nothing/x}" h="${path//l*/x}" i="${path//l/}"
END
build .
