cat >Dockerfile <<'END'
FROM busybox
COPY --chmod=u=rwX,go=rX d /a
COPY --chmod=a+x d /b
COPY --chmod=go-rwx,u+s d /c
COPY --chmod=g=u d /e
COPY --chmod=+t d /g
END
mkdir -p d/e; echo x >d/e/x; echo y >d/y; chmod 640 d/e/x; chmod 755 d/y; chmod 750 d d/e
build .
