//! The certificates this machine trusts, as a layer.
//!
//! Where TLS ends at a proxy, `RUN pip install` needs the proxy's certificate in the base image: a
//! literal Dockerfile has no other way to get at it. The layer differs from machine to machine, so it
//! is an image's last, and those below it stay the same everywhere. It is not for publishing.

use std::{fs, io};

use super::tree::Tree;

/// The bundle of certificates, here and in Debian images.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// pip has a bundle of its own and ignores the system's, unless told.
const PIP_CONF: &str = "[global]
cert = /etc/ssl/certs/ca-certificates.crt
disable-pip-version-check = true
";

/// The layer, where this machine has a bundle.
pub fn layer() -> io::Result<Option<Tree>> {
    let bundle = match fs::read(BUNDLE) {
        Ok(bundle) => bundle,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err),
    };
    let mut tree = Tree::of(&[("etc/pip.conf", 0o644, PIP_CONF)]);
    tree.file(BUNDLE.trim_start_matches('/'), 0o644, bundle);
    // Where Debian's OpenSSL looks first, for programs that no variable tells.
    tree.symlink("usr/lib/ssl/cert.pem", BUNDLE);
    Ok(Some(tree))
}
