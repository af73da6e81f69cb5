cat >Dockerfile <<'OUTER'
FROM busybox
ARG who=world
COPY <<END /a.txt
hello $who
  "quotes" \$escaped ${who}
END
COPY <<"END" /b.txt
hello $who
END
COPY <<-END /c.txt
	tabs go
	  $who
	END
COPY <<one <<two f /dir/
1
one
2
two
COPY --chmod=755 --chown=5:6 <<run.sh /bin/
#!/bin/sh
run.sh
COPY <<EMPTY /empty
EMPTY
OUTER
echo f >f
build .
