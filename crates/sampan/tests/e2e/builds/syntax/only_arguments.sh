echo 'ARG A=1' >Dockerfile
build .
