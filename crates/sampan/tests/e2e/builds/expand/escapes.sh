cat >Dockerfile <<'END'
FROM busybox
ARG a=A
LABEL one=\$a two="\$a" three='$a' four=\\$a five="\\$a" six='\$a' seven=$ eight="$" nine=a$ ten=\${a}
LABEL x=$$ y="a\bc" z=a\bc
END
build .
