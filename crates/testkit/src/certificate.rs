//! Certificates for servers of tests, from an authority of the test's own.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// Makes an authority, whose certificate is [`AUTHORITY`] in `directory`, and has it vouch for a server at `address`:
/// the files of the server's certificate and of its key.
pub fn make(directory: &Path, address: impl Into<IpAddr>) -> [PathBuf; 2] {
    let new_key = || KeyPair::generate().expect("randomness");
    let key = new_key();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&key).expect("a valid authority");
    write(directory, AUTHORITY, &certificate.pem());
    let issuer = Issuer::new(authority, key);

    let key = new_key();
    let server = CertificateParams::new([address.into().to_string()]).expect("an address");
    let certificate = server.signed_by(&key, &issuer).expect("a valid server");
    [write(directory, "server.crt", &certificate.pem()), write(directory, "server.key", &key.serialize_pem())]
}

fn write(directory: &Path, name: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, content).expect("a file in the sandbox");
    path
}

/// The file that whoever is to trust the server needs.
pub const AUTHORITY: &str = "authority.crt";
