# mmdebstrap runs this with the new system's root directory as $1, before it installs more packages.
#
# python2.7 wants mime-support, which brings mailcap and with it all of perl: 47 MB. An empty package
# of that name keeps dpkg and apt content; deleting perl behind their backs would not.
set -e
package="$1/tmp/mime-support"
mkdir -p "$package/DEBIAN"
cat >"$package/DEBIAN/control" <<'CONTROL'
Package: mime-support
Version: 99
Architecture: all
Maintainer: nobody <nobody@localhost>
Description: empty stand-in
CONTROL
dpkg-deb --root-owner-group --build "$package" "$package.deb"
chroot "$1" dpkg --install /tmp/mime-support.deb
rm -r "$package" "$package.deb"
