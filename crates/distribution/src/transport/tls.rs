//! Whom we trust, and how we prove who we are: the system's certificates, and those of `certs.d`.
//!
//! ```text
//! certs.d/<host[:port]>/*.crt         authorities, trusted besides the system's for what this registry is asked
//!                      /NAME.cert     who we are, to this host only
//!                      /NAME.key
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::Trust;
use crate::{ClientError, location::Origin};

/// Certificates, read when the first host needs them.
#[derive(Debug)]
pub(super) struct Certificates {
    directories: Vec<PathBuf>,
    system: OnceLock<Vec<Certificate<'static>>>,
}

impl Certificates {
    pub fn new(directories: Vec<PathBuf>) -> Certificates {
        Certificates { directories, system: OnceLock::new() }
    }

    /// How to speak TLS to `origin` on behalf of `registry`. Its authorities are trusted wherever it sends us; our
    /// own certificate is shown to the host it is meant for only.
    pub fn configuration(
        &self,
        registry: &str,
        origin: &Origin,
        trust: Trust,
    ) -> Result<TlsConfig, ClientError> {
        let provider = Arc::new(ring::default_provider());
        let client = self.client_certificate(origin, &provider)?;
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).client_cert(client);
        if trust == Trust::Anyone {
            let nobody = RootCerts::Specific(Arc::new(Vec::new()));
            return Ok(tls.root_certs(nobody).disable_verification(true).build());
        }
        let mut trusted = self.system.get_or_init(system).clone();
        let names = names_of(origin);
        for name in names.iter().map(String::as_str).chain([registry]) {
            for file in self.files(name, "crt")? {
                trusted.extend(certificates(&file)?.iter().map(|c| Certificate::from_der(c).to_owned()));
            }
        }
        Ok(tls.root_certs(RootCerts::Specific(Arc::new(trusted))).build())
    }

    fn client_certificate(
        &self,
        origin: &Origin,
        provider: &CryptoProvider,
    ) -> Result<Option<ClientCert>, ClientError> {
        for name in names_of(origin) {
            if let Some(key) =
                self.files(&name, "key")?.into_iter().find(|key| !key.with_extension("cert").exists())
            {
                return Err(unusable(&key, "there is no certificate (.cert) for this key"));
            }
            if let Some(file) = self.files(&name, "cert")?.first() {
                return identity(file, provider).map(Some);
            }
        }
        Ok(None)
    }

    /// The files of the registry `name` with this extension, sorted.
    fn files(&self, name: &str, extension: &str) -> Result<Vec<PathBuf>, ClientError> {
        let mut files = Vec::new();
        for directory in self.directories.iter().map(|directory| directory.join(name)) {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(unusable(&directory, error)),
            };
            for entry in entries {
                let path = entry.map_err(|error| unusable(&directory, error))?.path();
                if path.extension().is_some_and(|found| found == extension) {
                    files.push(path);
                }
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Our certificate and its key, once it is clear that they belong together.
fn identity(file: &Path, provider: &CryptoProvider) -> Result<ClientCert, ClientError> {
    let chain = certificates(file)?;
    let key_file = file.with_extension("key");
    let key = fs::read(&key_file).map_err(|error| unusable(&key_file, error))?;
    let der =
        PrivateKeyDer::from_pem_slice(&key).map_err(|_| unusable(&key_file, "it holds no private key"))?;
    CertifiedKey::from_der(chain.clone(), der, provider).map_err(|error| unusable(&key_file, error))?;
    let key = PrivateKey::from_pem(&key).map_err(|_| unusable(&key_file, "it holds no private key"))?;
    let chain: Vec<_> = chain.iter().map(|c| Certificate::from_der(c).to_owned()).collect();
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// The certificates of a file; at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(file).map_err(|error| unusable(file, error))?.collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(unusable(file, "it holds no certificate")),
        Err(error) => Err(unusable(file, error)),
    }
}

/// The system's authorities. Those that cannot be read are not trusted; that shows where one is missed.
fn system() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs().certs;
    found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
}

/// The directories that a host's certificates may be in: the default port may be left out.
fn names_of(origin: &Origin) -> Vec<String> {
    let mut names = vec![origin.authority(), format!("{}:{}", origin.host, origin.port)];
    names.dedup();
    names
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unusable(path: &Path, reason: impl ToString) -> ClientError {
    ClientError::Certificate { path: path.to_owned(), reason: reason.to_string() }
}
