cat >Dockerfile <<'OUTER'
FROM busybox
WORKDIR /w
COPY <<'robots.txt' <<humans.txt ./
User-agent: $x
robots.txt
People: ${x:-none}
humans.txt
ADD <<added /x/
a
added
OUTER
build .
