cat >Dockerfile <<'END'
FROM busybox
ADD link /dst/
ADD d/ /dir/
END
echo x >f; tar -cf a.tar --owner=0 --group=0 f; ln -s a.tar link; mkdir d; cp a.tar d/; tar -cf d/a.tar --sort=name --mtime=@0 --owner=0 --group=0 --mode=644 f
build .
