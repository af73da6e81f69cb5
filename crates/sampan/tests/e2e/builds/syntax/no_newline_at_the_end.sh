printf 'FROM busybox\nLABEL a=1' >Dockerfile
build .
