cat >Dockerfile <<'END'
FROM busybox
COPY . /dst/
END
echo f >setuid; chmod 4755 setuid; echo f >setgid; chmod 2755 setgid; mkdir sticky; chmod 1777 sticky; mkdir gdir; chmod 2775 gdir
echo r >ro; chmod 400 ro
build .
