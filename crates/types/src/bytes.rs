//! Amounts of memory and disk.

use std::str::FromStr;

/// A number of bytes. Parses docker's sizes: `64`, `512m`, `1.5g`, `2GiB`, in steps of 1024.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize,
)]
pub struct Bytes(pub u64);

/// Not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid size: '{0}'")]
pub struct InvalidSize(String);

impl FromStr for Bytes {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Bytes, InvalidSize> {
        let invalid = || InvalidSize(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let shift = match unit.trim_start_matches(' ').to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            "p" | "pb" | "pib" => 50,
            _ => return Err(invalid()),
        };
        let bytes = number * (1u64 << shift) as f64;
        if bytes < i64::MAX as f64 { Ok(Bytes(bytes as u64)) } else { Err(invalid()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_in_steps_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("64", 64),
            ("6m", 6 << 20),
            ("1.5g", 3 << 29),
            ("2GiB", 2 << 30),
            ("1 kb", 1024),
            ("7B", 7),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in ["", "m", "-1", "1x", "1..2g", "12mm", "9999999999p", "1e3"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
