: >Dockerfile
build .
