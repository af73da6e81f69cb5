# A link that is named is followed; one inside of a directory stays a link.
cat >Dockerfile <<'END'
FROM busybox
COPY link-to-file /file
COPY link-to-dir /dir
COPY dir-with-links /links/
COPY link-to-dir/f /through
END
mkdir real dir-with-links; echo f >real/f; ln -s real/f link-to-file; ln -s real link-to-dir
ln -s ../real/f dir-with-links/rel; ln -s /etc/passwd dir-with-links/abs; ln -s nowhere dir-with-links/dangling
ln -s ../real dir-with-links/dir
build .
