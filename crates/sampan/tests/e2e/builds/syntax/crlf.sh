printf 'FROM busybox\r\nRUN echo a \\\r\n  b >/a\r\nENV A=1\r\nCOPY <<END /h\r\nx\r\nEND\r\nCMD ["x"]\r\n' >Dockerfile
build .
