printf 'FROM\t busybox\n\tRUN\techo  a\t b >/a\nENV   A=1\t\nCMD\t["a",\t"b"]  \n' >Dockerfile
build .
