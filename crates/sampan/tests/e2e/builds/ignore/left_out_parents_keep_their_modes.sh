cat >Dockerfile <<'END'
FROM busybox
COPY . /all/
COPY a /some/
COPY --exclude=b --exclude=!b/c a /excluded/
END
printf '%s\n' 'a' '!a/b/c' >.dockerignore
mkdir -p a/b/c/d; touch a/b/c/d/e a/b/f; chmod 711 a/b/c; chmod 700 a/b; chmod 750 a
build .
