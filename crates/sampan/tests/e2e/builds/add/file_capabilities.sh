# security.capability is kept from an archive, by COPY from a stage, and when a layer touches the file.
cat >Dockerfile <<'END'
FROM busybox AS one
ADD caps.tar /caps/
RUN chmod 700 /caps/f
FROM busybox
ADD caps.tar /added/
COPY --from=one /caps /copied/
COPY --from=one --chown=5:6 /caps /chowned/
END
base64 -d >caps.tar.gz <<'END'
H4sIAAAAAAACA+3TsQrCMBCA4VOcfIo+QZpUaidBcKngIDg5xlqh4CBpCvHtrTpIh44tqP+35DgI
N/0qVvF6b0Ne2nPpZBD6re/VOjOf+bk3OjELiYKMoKm9de15+U9pFh02+XZ3VMF671RdFo2r/F0V
9mZP1bUdVxORqcy6/+aCX3AZ4cYr8TTt718n3f710hgtkab/wQVCBgAAAAAAAAAAAAAA+GoPa/fO
ZgAoAAA=
END
gunzip caps.tar.gz
build .
