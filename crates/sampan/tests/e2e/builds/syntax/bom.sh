printf '\357\273\277FROM busybox\nLABEL a=1\n' >Dockerfile
build .
