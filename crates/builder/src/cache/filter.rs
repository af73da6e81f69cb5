//! Which entries are meant: the conditions of `builder du --filter` and `builder prune --filter`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::usage::{Entry, Kind};

/// Conditions on entries, which are all to be met.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    fields: Vec<Field>,
    /// Not used for so long.
    unused_for: Duration,
}

/// A condition on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    name: String,
    comparison: Comparison,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Contains,
}

/// Why a filter makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidFilter {
    #[error("conflicting filters \"until\" and \"unused-for\"")]
    Conflict,
    #[error("{0:?} filter expects only one value")]
    Repeated(String),
    #[error("{kind:?} filter expects a duration (e.g., '24h'): time: invalid duration {value:?}")]
    Duration { kind: String, value: String },
}

impl Filters {
    /// Understands pairs of a kind and a value as buildx does: a kind that ends in `!` is to differ, one that ends in `~`,
    /// and an id, only to contain the value.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Filters, InvalidFilter> {
        let mut filters = Filters::default();
        let mut seen: Vec<&str> = Vec::new();
        for (kind, value) in pairs {
            if seen.contains(&kind) {
                return Err(InvalidFilter::Repeated(kind.to_owned()));
            }
            seen.push(kind);
            if seen.contains(&"until") && seen.contains(&"unused-for") {
                return Err(InvalidFilter::Conflict);
            }
            match kind {
                "until" | "unused-for" => filters.unused_for = duration(kind, value)?,
                _ => filters.fields.push(Field::parse(kind, value)),
            }
        }
        Ok(filters)
    }

    /// What was not used for so long.
    pub fn unused(unused_for: Duration) -> Filters {
        Filters { fields: Vec::new(), unused_for }
    }

    /// Those of one kind that were not used for so long.
    pub fn of_kind(kind: Kind, unused_for: Duration) -> Filters {
        Filters { fields: vec![Field::parse("type", kind.name())], unused_for }
    }

    /// Whether the entry meets all conditions at this time.
    pub fn select(&self, entry: &Entry, now: Timestamp) -> bool {
        let unused = SignedDuration::try_from(self.unused_for).unwrap_or(SignedDuration::MAX);
        let is_old = self.unused_for.is_zero() || now.duration_since(entry.last_used) >= unused;
        is_old && self.fields.iter().all(|field| field.select(entry))
    }
}

impl Field {
    fn parse(kind: &str, value: &str) -> Field {
        let (name, comparison) = match (kind.strip_suffix('!'), kind.strip_suffix('~')) {
            (Some(name), _) => (name, Comparison::Unequal),
            (_, Some(name)) => (name, Comparison::Contains),
            (None, None) if kind == "id" => (kind, Comparison::Contains),
            (None, None) => (kind, Comparison::Equal),
        };
        Field { name: name.to_owned(), comparison, value: value.to_owned() }
    }

    /// A field that entries do not have is met by none.
    fn select(&self, entry: &Entry) -> bool {
        let word = |is: bool| is.to_string();
        let has = match self.name.as_str() {
            "id" => entry.id.clone(),
            "type" => entry.kind.name().to_owned(),
            "description" => entry.description.clone(),
            "inuse" => word(entry.in_use),
            "mutable" => word(entry.kind.is_mutable()),
            "immutable" => word(!entry.kind.is_mutable()),
            "shared" => word(entry.shared),
            "private" => word(!entry.shared),
            _ => return false,
        };
        match self.comparison {
            Comparison::Equal => has == self.value,
            Comparison::Unequal => has != self.value,
            Comparison::Contains => has.contains(&self.value),
        }
    }
}

/// Go's durations: `24h`, `1h30m`.
fn duration(kind: &str, value: &str) -> Result<Duration, InvalidFilter> {
    let invalid = || InvalidFilter::Duration { kind: kind.to_owned(), value: value.to_owned() };
    let parsed: SignedDuration = value.parse().map_err(|_| invalid())?;
    Duration::try_from(parsed).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::usage::tests::entry;

    fn selects(filters: &[(&str, &str)]) -> Result<bool, InvalidFilter> {
        let filters = Filters::parse(filters.iter().copied())?;
        let mut entry = entry("abcdef", Kind::Mount, 10, 100);
        entry.description = "cached mount /c".into();
        Ok(filters.select(&entry, Timestamp::from_second(100 + 3600).expect("in range")))
    }

    #[test]
    fn an_entry_is_to_meet_all_conditions() {
        for (filters, expected) in [
            (&[][..], true),
            (&[("type", "exec.cachemount")], true),
            (&[("type", "regular")], false),
            (&[("type!", "regular")], true),
            (&[("type~", "cache")], true),
            (&[("id", "bcd")], true),
            (&[("id", "bcd"), ("type", "regular")], false),
            (&[("description~", "/c")], true),
            (&[("inuse", "false"), ("mutable", "true"), ("shared", "false"), ("private", "true")], true),
            (&[("inuse", "true")], false),
            (&[("foo", "bar")], false),
            (&[("until", "1h")], true),
            (&[("unused-for", "61m")], false),
        ] {
            assert_eq!(selects(filters), Ok(expected), "{filters:?}");
        }
    }

    #[test]
    fn a_condition_that_makes_no_sense_is_refused() {
        let text = |filters: &[(&str, &str)]| selects(filters).expect_err("refused").to_string();
        assert_eq!(
            text(&[("until", "xx")]),
            "\"until\" filter expects a duration (e.g., '24h'): time: invalid duration \"xx\""
        );
        assert_eq!(
            text(&[("until", "1h"), ("unused-for", "1h")]),
            "conflicting filters \"until\" and \"unused-for\""
        );
        assert_eq!(text(&[("type", "a"), ("type", "b")]), "\"type\" filter expects only one value");
    }
}
