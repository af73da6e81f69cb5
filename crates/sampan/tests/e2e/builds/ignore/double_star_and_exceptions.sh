cat >Dockerfile <<'END'
FROM busybox
COPY . /ctx/
END
cat >.dockerignore <<'END'
**
!src/**/*.c
src/gen
END
mkdir -p src/a/b src/gen; touch src/1.c src/a/2.c src/a/b/3.c src/a/b/3.h src/gen/4.c top.c
build .
