//! Signatures of tokens, checked by ring, which is in the program anyway for TLS.

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
    signature::{Error, Verifier},
};
use ring::signature::{
    self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};

/// Makes tokens be checked by ring, in this whole process. Calling it again does nothing.
pub fn install() {
    // Somebody was first: that was this function too.
    let _ = PROVIDER.install_default();
}

/// Checks only: a registry signs nothing.
static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    verifier_factory: |algorithm, key| Ok(Box::new(Ring::new(*algorithm, key)?)),
    key_utils: KeyUtils::new_unimplemented(),
};

/// One key, for one algorithm.
struct Ring {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Ring {
    /// A key of another family is refused: what was made for RSA must not be taken for a secret.
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Ring> {
        let matches = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => key.family() == AlgorithmFamily::Ec,
            Algorithm::EdDSA => key.family() == AlgorithmFamily::Ed,
            _ => rsa(algorithm).is_some() && key.family() == AlgorithmFamily::Rsa,
        };
        if matches {
            Ok(Ring { algorithm, key: key.clone() })
        } else {
            Err(ErrorKind::InvalidAlgorithm.into())
        }
    }
}

impl Verifier<Vec<u8>> for Ring {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> std::result::Result<(), Error> {
        let verified = match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let parameters = rsa(self.algorithm).ok_or_else(Error::new)?;
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signed)
            }
            DecodingKeyKind::SecretOrDer(bytes) => {
                let algorithm: &'static dyn VerificationAlgorithm = match self.algorithm {
                    Algorithm::ES256 => &signature::ECDSA_P256_SHA256_FIXED,
                    Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
                    Algorithm::EdDSA => &signature::ED25519,
                    other => rsa(other).ok_or_else(Error::new)?,
                };
                UnparsedPublicKey::new(algorithm, bytes).verify(message, signed)
            }
        };
        verified.map_err(|_| Error::new())
    }
}

impl JwtVerifier for Ring {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}
