//! Names users give to containers, volumes and networks.

use std::{fmt, ops::Deref, str::FromStr};

/// What a container or a volume is called: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, at most 255 bytes: safe as a file name, in a table and in a hosts file.
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

/// What a network is called: anything that is not blank, as with docker, but for characters that would steer a terminal.
/// It is no file name; that is the network's id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub struct NetworkName(String);

/// There is nothing in the name, or something that cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetworkName {
    #[error("invalid name: name is empty")]
    Blank,
    #[error("invalid name: {} has control characters", .0.escape_default())]
    Control(String),
}

impl FromStr for NetworkName {
    type Err = InvalidNetworkName;

    fn from_str(text: &str) -> Result<NetworkName, InvalidNetworkName> {
        if text.trim().is_empty() {
            return Err(InvalidNetworkName::Blank);
        }
        match text.contains(char::is_control) {
            true => Err(InvalidNetworkName::Control(text.to_owned())),
            false => Ok(NetworkName(text.to_owned())),
        }
    }
}

/// Text that is known to be a name.
macro_rules! text {
    ($name:ident) => {
        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text!(Name);
text!(NetworkName);

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

    #[test]
    fn a_network_may_be_called_anything_that_can_be_shown() {
        for valid in ["a", "-x", "a b", "a/b", "ü", " x "] {
            assert!(valid.parse::<NetworkName>().is_ok(), "{valid:?}");
        }
        let refused = |name: &str| name.parse::<NetworkName>().unwrap_err().to_string();
        assert_eq!(refused(" "), "invalid name: name is empty");
        assert_eq!(refused("a\u{1b}[1m"), "invalid name: a\\u{1b}[1m has control characters");
    }
}
