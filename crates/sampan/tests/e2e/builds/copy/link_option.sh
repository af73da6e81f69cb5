cat >Dockerfile <<'END'
FROM busybox
COPY --link f /dst/
COPY --link d /new/sub
COPY --link --chown=5:6 --chmod=600 f /owned/f
COPY --link f g /two/
ADD --link f /added
END
echo f >f; echo g >g; mkdir d; echo x >d/x
build .
