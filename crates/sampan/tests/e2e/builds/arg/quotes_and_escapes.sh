cat >Dockerfile <<'END'
FROM busybox
ARG A="a \"quoted\" word"
ARG B=a\ b
ARG C='single $A'
ARG D="double $A"
RUN printf '%s\n' "$A" "$B" "$C" "$D" >/args
END
build .
