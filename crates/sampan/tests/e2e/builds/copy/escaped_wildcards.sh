cat >Dockerfile <<'END'
FROM busybox
COPY arr[[]0].txt /dst/
COPY ["a b.txt", "/with space/"]
COPY star\* /star/
END
echo x >'arr[0].txt'; echo y >'a b.txt'; echo z >'star*'; echo w >stars
build .
