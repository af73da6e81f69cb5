cat >Dockerfile <<'END'
FROM busybox
ARG a=A
ARG b
LABEL one="${b:-${a}}" two="${b:-x${a:+y}z}" three=${b:-"q $a"} four=${b:-'$a'} five="${b:-"$a"}"
END
build .
