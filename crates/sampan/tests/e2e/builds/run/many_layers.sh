{ echo 'FROM busybox'; for i in $(seq 100); do echo "COPY f /f$i"; done; } >Dockerfile
echo f >f
build .
