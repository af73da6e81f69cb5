mkdir d; printf 'FROM busybox\nCOPY . /c/\n' >d/Dockerfile
build -f d/Dockerfile d
