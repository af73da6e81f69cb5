cat >Dockerfile <<'END'
FROM busybox
ARG path=/usr/local/lib/file.tar.gz
LABEL a="${path#*/}" b="${path##*/}" c="${path%.*}" d="${path%%.*}" e="${path#nothing}" f="${path#/usr}"
LABEL g="${path%gz}" h="${path##*l}" i="${path%?}" j="${path#?}" k="${path%%/*}"
END
build .
