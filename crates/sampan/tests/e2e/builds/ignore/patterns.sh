cat >Dockerfile <<'END'
FROM busybox
COPY . /ctx/
END
cat >.dockerignore <<'END'
# a comment
*.log
/rooted
sub/*.o
**/*.tmp
  spaced
trailing/
!keep.log

./dotted
up/../normal
END
mkdir -p sub/deep rooted trailing; touch a.log keep.log sub/b.log rooted/x sub/rooted sub/a.o sub/deep/a.o a.tmp sub/deep/b.tmp spaced trailing/x dotted normal '#file'
build .
