cat >Dockerfile <<'END'
FROM busybox
COPY d /dst/
COPY ["d/with space", "/x y/"]
COPY "d/quo'te" /q
COPY d/日本 /n/
END
mkdir d; echo 1 >'d/with space'; echo 2 >"d/quo'te"; echo 3 >d/日本; echo 4 >'d/back\slash'; echo 5 >'d/new
line'; echo 6 >d/.hidden; echo 7 >'d/-dash'; echo 8 >'d/$dollar'
build .
