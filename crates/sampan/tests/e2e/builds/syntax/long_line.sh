{ echo 'FROM busybox'; printf 'LABEL a='; head -c 60000 /dev/zero | tr '\0' x; echo; } >Dockerfile
build .
