//! Digests as clients write them: sha256 everywhere, sha512 where somebody asks for it.
//!
//! `types::Digest` knows sha256 only, which is all that images here are made with. A registry keeps what others
//! make, and the distribution specification has it accept sha512.

use std::{fmt, str::FromStr};

#[cfg(any(feature = "s3", test))]
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

/// The hash of some content, with its algorithm. The only ways to get one are to hash or to parse a valid text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Digest {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

/// What content is hashed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

/// Not an algorithm this registry knows, a colon, and lower-case hex digits of the exact length.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid digest: expected sha256: and 64, or sha512: and 128 lower-case hex digits")]
pub struct InvalidDigest;

impl Digest {
    /// Hashes `content` the way most of the world does.
    pub fn of(content: &[u8]) -> Digest {
        Algorithm::Sha256.digest(content)
    }

    pub fn algorithm(&self) -> Algorithm {
        match self {
            Digest::Sha256(_) => Algorithm::Sha256,
            Digest::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The hex digits, without the algorithm.
    pub fn hex(&self) -> String {
        let bytes: &[u8] = match self {
            Digest::Sha256(bytes) => bytes,
            Digest::Sha512(bytes) => bytes,
        };
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        bytes
            .iter()
            .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
            .map(char::from)
            .collect()
    }
}

impl Algorithm {
    pub const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// Hashes `content`.
    pub fn digest(self, content: &[u8]) -> Digest {
        let mut hasher = self.hasher();
        hasher.update(content);
        hasher.finish()
    }

    /// Hashes what it is given in pieces.
    pub fn hasher(self) -> Hasher {
        match self {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }
}

/// A hash half done.
#[derive(Clone)]
pub enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub fn finish(self) -> Digest {
        match self {
            Hasher::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            Hasher::Sha512(hasher) => Digest::Sha512(hasher.finalize().into()),
        }
    }

    /// The state as bytes, to go on in another process; `None` for sha512, which is hashed once at the end.
    #[cfg(any(feature = "s3", test))]
    pub fn save(&self) -> Option<Vec<u8>> {
        match self {
            Hasher::Sha256(hasher) => Some(hasher.serialize().to_vec()),
            Hasher::Sha512(_) => None,
        }
    }

    /// Goes on where [`Hasher::save`] was called. `None` if `state` is not such a state.
    #[cfg(any(feature = "s3", test))]
    pub fn resume(state: &[u8]) -> Option<Hasher> {
        let state = SerializedState::<Sha256>::try_from(state).ok()?;
        Sha256::deserialize(&state).ok().map(Hasher::Sha256)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Digest, InvalidDigest> {
        let (algorithm, hex) = text.split_once(':').ok_or(InvalidDigest)?;
        match algorithm {
            "sha256" => parse_hex(hex).map(Digest::Sha256),
            "sha512" => parse_hex(hex).map(Digest::Sha512),
            _ => None,
        }
        .ok_or(InvalidDigest)
    }
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm().name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_algorithms_hash_to_the_known_digests_of_nothing() {
        let sha256 = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let sha512 = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                      47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
        assert_eq!(Digest::of(b"").to_string(), sha256);
        assert_eq!(Algorithm::Sha512.digest(b"").to_string(), sha512);
        assert_eq!(sha512.parse(), Ok(Algorithm::Sha512.digest(b"")));
    }

    #[test]
    fn what_is_not_a_digest_of_a_known_algorithm_is_refused() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for wrong in
            ["", "sha256:", "sha256:baddigeststring", hex, &format!("sha512:{hex}"), &format!("md5:{hex}")]
        {
            assert_eq!(wrong.parse::<Digest>(), Err(InvalidDigest), "{wrong}");
        }
        assert!(format!("sha256:{}", hex.to_uppercase()).parse::<Digest>().is_err());
        assert!(
            "sha256:../../../../../../../../../../../../../../../../../../../../../.."
                .parse::<Digest>()
                .is_err()
        );
    }

    #[test]
    fn a_hash_goes_on_where_it_was_saved() {
        let mut first = Algorithm::Sha256.hasher();
        first.update(b"hello, ");
        let mut second = Hasher::resume(&first.save().unwrap()).unwrap();
        second.update(b"world");
        assert_eq!(second.finish(), Digest::of(b"hello, world"));
        assert!(Hasher::resume(b"nonsense").is_none());
    }
}
