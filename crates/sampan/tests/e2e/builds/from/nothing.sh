cat >Dockerfile <<'END'
FROM
END
build .
