cat >Dockerfile <<'END'
FROM busybox
COPY . /ctx/
END
cat >.dockerignore <<'END'
*
!dir
dir/secret
!dir/secret/public
!*.md
x.md
END
mkdir -p dir/secret/public dir/open; touch dir/a dir/secret/s dir/secret/public/p dir/open/o x.md y.md z.txt
build .
