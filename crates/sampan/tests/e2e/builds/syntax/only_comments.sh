echo '# nothing' >Dockerfile
build .
