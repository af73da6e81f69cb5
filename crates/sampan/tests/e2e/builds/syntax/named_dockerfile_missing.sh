touch Dockerfile
build -f nothing .
