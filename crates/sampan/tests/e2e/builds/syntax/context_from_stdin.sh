mkdir c; echo f >c/f; printf 'FROM busybox\nCOPY . /c/\n' >c/Dockerfile; chmod 600 c/f
tar -C c --owner=5 --group=6 -cf - . | "$BUILDER" build -t result -
