cat >Dockerfile <<'END'
FROM scratch
COPY f /
ENV A=1
CMD ["/f"]
END
echo f >f
build .
