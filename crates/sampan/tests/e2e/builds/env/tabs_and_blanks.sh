printf 'FROM busybox\nENV\tA=1\t\tB=2  \nENV  C  d  \n' >Dockerfile
build .
