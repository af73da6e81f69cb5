cat >Dockerfile <<'END'
from busybox as a
label x=1
From a As b
end
END
sed -i '$d' Dockerfile
build .
