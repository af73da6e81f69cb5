# mmdebstrap runs this with the new system's root directory as $1, just before it packs it.
set -e
r=$1

# Copied from this machine.
rm -f "$r/etc/resolv.conf" "$r/etc/hostname"

# Inode numbers, times, backups and logs of this run.
rm -f "$r/var/cache/ldconfig/aux-cache" "$r"/var/lib/dpkg/*-old "$r"/var/cache/debconf/*-old
rm -f "$r"/etc/passwd- "$r"/etc/group- "$r"/etc/shadow- "$r"/etc/gshadow-
find "$r/var/log" -type f -delete
rm -rf "$r"/run/*

# What apt can fetch again. Its binary caches have no name once docker-clean is there, so that
# `apt-get clean` would leave 66 MB of them.
rm -rf "$r"/var/lib/apt/lists/*
rm -f "$r"/var/cache/apt/archives/*.deb "$r"/var/cache/apt/*.bin

# As in Docker's own Debian images: no service starts in RUN, and no package file stays in a layer.
printf '#!/bin/sh\nexit 101\n' >"$r/usr/sbin/policy-rc.d"
chmod 755 "$r/usr/sbin/policy-rc.d"
cat >"$r/etc/apt/apt.conf.d/docker-clean" <<'CLEAN'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
APT::Update::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
CLEAN
printf 'Acquire::Languages "none";\n' >"$r/etc/apt/apt.conf.d/docker-no-languages"
printf 'Acquire::GzipIndexes "true";\n' >"$r/etc/apt/apt.conf.d/docker-gzip-indexes"
