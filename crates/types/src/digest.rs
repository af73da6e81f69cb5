//! The sha256 of some content, as the OCI image specification writes it.

use std::{fmt, io, str::FromStr};

use sha2::{Digest as _, Sha256};

/// The sha256 of some content. The only ways to get one are to hash bytes or to parse a valid string.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes `content`.
    pub fn of(content: &[u8]) -> Digest {
        Digest(Sha256::digest(content).into())
    }

    /// Hashes what is written to it.
    pub fn hasher() -> Hasher {
        Hasher(Sha256::new())
    }

    /// The 64 hex digits, without the algorithm.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// The first 12 hex digits: what tables show.
    pub fn short(&self) -> String {
        hex(&self.0[..6])
    }

    /// Parses the 64 hex digits without the algorithm, as file names in `blobs/sha256` have them.
    pub fn from_hex(text: &str) -> Result<Digest, InvalidDigest> {
        parse_hex(text).map(Digest).ok_or_else(|| InvalidDigest(text.to_owned()))
    }
}

/// Hashes a stream; see [`Digest::hasher`].
#[derive(Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Adds `bytes` to what is hashed.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything written so far.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Not `sha256:` and 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid digest {0:?}: expected sha256: and 64 hex digits")]
pub struct InvalidDigest(String);

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Digest, InvalidDigest> {
        text.strip_prefix("sha256:")
            .and_then(parse_hex)
            .map(Digest)
            .ok_or_else(|| InvalidDigest(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
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

/// Lower-case hex of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

/// The bytes that exactly 64 lower-case hex digits stand for.
pub(crate) fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
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

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_of_nothing_is_the_known_one_whether_hashed_at_once_or_as_a_stream() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(Digest::hasher().finish().to_string(), EMPTY);
        assert_eq!(Digest::of(b"").short(), "e3b0c44298fc");
    }

    #[test]
    fn only_lower_case_hex_of_the_exact_length_parses() {
        assert_eq!(EMPTY.parse(), Ok(Digest::of(b"")));
        for wrong in ["", "sha256:", &EMPTY[..70], &EMPTY.to_uppercase(), &EMPTY[7..], "sha512:00"] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong:?}");
        }
    }
}
