touch f
build .
