//! Names users give to containers, networks and volumes.

use std::{fmt, ops::Deref, str::FromStr};

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, at most 255 bytes: safe as a file name, in a table and in a hosts file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct Name(String);

/// The name has a character it may not have, or is too short or too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid name ({}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", .0.escape_default())]
pub struct InvalidName(pub String);

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Name, InvalidName> {
        let valid = (2..=255).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if valid { Ok(Name(text.to_owned())) } else { Err(InvalidName(text.chars().take(255).collect())) }
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_a_directory_or_end_a_line() {
        for valid in ["web", "web-1", "a.b_c", "7up"] {
            assert!(valid.parse::<Name>().is_ok(), "{valid:?}");
        }
        for invalid in ["", "a", ".", "..", "-x", "a/b", "a b", "a\nb", "ü1", &"x".repeat(256)] {
            assert!(invalid.parse::<Name>().is_err(), "{invalid:?}");
        }
    }
}
