cat >Dockerfile <<'END'
FROM busybox
ARG set=value
ARG empty=
LABEL a="${set:-y}" b="${unset:-y}" c="${empty:-y}" d="${empty-y}" e="${unset-y}"
LABEL f="${set:+y}" g="${unset:+y}" h="${empty:+y}" i="${empty+y}" j="${unset+y}"
LABEL k="${set:?error}" l="${set?error}" m="${empty?error}"
END
build .
