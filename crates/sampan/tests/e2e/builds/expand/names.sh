cat >Dockerfile <<'END'
FROM busybox
ARG a_1=A
LABEL one=$a_1-x two=$a_1.x three=${a_1}x four=$a_1x five=$1 six=${1} seven=$@
END
build .
