//! Ids of things the engine makes: 64 hex digits, shown as the first 12.

use std::{fmt, marker::PhantomData, str::FromStr};

use crate::digest::{hex, parse_hex};

/// A container's id.
pub type ContainerId = Id<Container>;
/// A network's id.
pub type NetworkId = Id<Network>;

/// Marks the ids of containers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Container {}
/// Marks the ids of networks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Network {}

/// 256 bits that name one `Of`. An id of one kind is not an id of another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<Of>([u8; 32], PhantomData<Of>);

impl<Of> Id<Of> {
    /// Makes an id of `random` bytes. Short ids are hostnames, and one of digits alone would be taken
    /// for a number there, so the caller draws again while [`Id::is_numeric`].
    pub fn from_random(random: [u8; 32]) -> Self {
        Id(random, PhantomData)
    }

    /// Whether the short form has digits only.
    pub fn is_numeric(&self) -> bool {
        self.short().bytes().all(|b| b.is_ascii_digit())
    }

    /// The first 12 digits.
    pub fn short(&self) -> String {
        hex(&self.0[..6])
    }
}

/// Not 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid id {0:?}: expected 64 hex digits")]
pub struct InvalidId(String);

impl<Of> FromStr for Id<Of> {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        parse_hex(text)
            .map(|bytes| Id(bytes, PhantomData))
            .ok_or_else(|| InvalidId(text.chars().take(80).collect()))
    }
}

impl<Of> fmt::Display for Id<Of> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl<Of> fmt::Debug for Id<Of> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl<Of> serde::Serialize for Id<Of> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, Of> serde::Deserialize<'de> for Id<Of> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_as_it_parses_and_shortens_to_twelve() {
        let id = ContainerId::from_random([0xab; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.short(), "abababababab");
        assert!(ContainerId::from_random([0x12; 32]).is_numeric());
    }
}
