//! The keys that tokens are signed with: certificates, public keys, or a set of web keys (RFC 7517).

use std::path::{Path, PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use jsonwebtoken::{AlgorithmFamily, DecodingKey, jwk::JwkSet};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, pem::PemObject};

use super::watched::Unreadable;

/// A key, and the name it has in a set.
pub struct Key {
    pub id: Option<String>,
    pub key: DecodingKey,
}

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(
        "{path} has no key to check tokens with: expected certificates or public keys in PEM, or a JSON web key set",
        path = path.display()
    )]
    None { path: PathBuf },
}

/// Reads all keys of the file at `path`. What is not of a kind that signs tokens in public is passed over.
pub fn read(path: &Path, text: &str) -> Result<Vec<Key>, KeysError> {
    let keys = if text.trim_start().starts_with('{') { web_keys(text) } else { pem_keys(text) };
    if keys.is_empty() { Err(KeysError::None { path: path.to_owned() }) } else { Ok(keys) }
}

fn web_keys(text: &str) -> Vec<Key> {
    let Ok(set) = serde_json::from_str::<JwkSet>(text) else { return Vec::new() };
    let key = |web: jsonwebtoken::jwk::Jwk| {
        let key = DecodingKey::from_jwk(&web).ok()?;
        // A secret in the set would let everybody who can read it sign.
        (key.family() != AlgorithmFamily::Hmac).then_some(Key { id: web.common.key_id, key })
    };
    set.keys.into_iter().filter_map(key).collect()
}

fn pem_keys(text: &str) -> Vec<Key> {
    let certificates =
        CertificateDer::pem_slice_iter(text.as_bytes()).filter_map(Result::ok).filter_map(|certificate| {
            let parsed = webpki::EndEntityCert::try_from(&certificate).ok()?;
            Some(parsed.subject_public_key_info())
        });
    let keys = SubjectPublicKeyInfoDer::pem_slice_iter(text.as_bytes()).filter_map(Result::ok);
    certificates.chain(keys).filter_map(|key| of_public_key(&key)).map(|key| Key { id: None, key }).collect()
}

/// A key of whichever family it is.
fn of_public_key(key: &SubjectPublicKeyInfoDer<'_>) -> Option<DecodingKey> {
    let encoded = BASE64_STANDARD.encode(key);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{encoded}\n-----END PUBLIC KEY-----\n");
    DecodingKey::from_ec_pem(pem.as_bytes())
        .or_else(|_| DecodingKey::from_rsa_pem(pem.as_bytes()))
        .or_else(|_| DecodingKey::from_ed_pem(pem.as_bytes()))
        .ok()
}
