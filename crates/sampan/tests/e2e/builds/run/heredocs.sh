cat >Dockerfile <<'OUTER'
FROM busybox
ARG who=w
RUN <<END
echo one >/a
false
echo "two $who" >>/a
END
RUN <<END cat >/b
text with $who and \$who
END
RUN cat <<one >/c <<two
1
one
2 \
two
RUN <<-"END"
	echo $who >/d
	  echo e >>/d
	END
RUN <<END
#!/bin/cat
this is printed, not run
END
RUN sh -e <<'END'
echo f >/f
END
OUTER
build .
