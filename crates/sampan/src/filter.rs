//! `--filter`: conditions as pairs of a kind and a value.

use std::str::FromStr;

/// What a user wrote as `kind=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub kind: String,
    pub value: String,
}

/// Not a pair.
#[derive(Debug, thiserror::Error)]
#[error("bad format of filter (expected name=value)")]
pub struct InvalidFilter;

impl FromStr for Filter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Filter, InvalidFilter> {
        // docker lets a filter be left out so.
        if text.is_empty() {
            return Ok(Filter { kind: String::new(), value: String::new() });
        }
        let (kind, value) = text.split_once('=').ok_or(InvalidFilter)?;
        // `label!=a` is of the kind `label!`.
        Ok(Filter { kind: kind.trim().to_lowercase(), value: value.trim().to_owned() })
    }
}

/// The pairs as the engine takes them.
pub fn pairs(filters: &[Filter]) -> impl Iterator<Item = (&str, &str)> {
    let all = filters.iter().map(|filter| (filter.kind.as_str(), filter.value.as_str()));
    all.filter(|pair| *pair != ("", ""))
}
