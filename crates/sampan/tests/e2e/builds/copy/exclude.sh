cat >Dockerfile <<'END'
FROM busybox
COPY --exclude=*.txt d /a/
COPY --exclude=**/*.txt d /b/
COPY --exclude=sub d /c/
COPY --exclude=d/sub --exclude=d/x.md d /e/
COPY --exclude=*.txt d/* /f/
COPY --exclude=**/*.txt --exclude=!**/keep.txt d /g/
END
mkdir -p d/sub; for f in x.txt x.md keep.txt sub/y.txt sub/y.md; do echo $f >d/$f; done
build .
