cat >Dockerfile <<'END'
FROM busybox
COPY . /ctx/
END
printf '%s\n' '[a-c]?.x' '\*' 'q[^1]' 'dir/**/z' 'e*/f' >.dockerignore
mkdir -p dir/1/2 ee; touch a1.x d1.x ab.x '*' star q1 q2 dir/z dir/1/z dir/1/2/z dir/1/y ee/f ee/g
build .
