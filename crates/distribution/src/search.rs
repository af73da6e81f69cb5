//! Finding repositories by name.

use serde::{Deserialize, Serialize};
use ureq::http::Method;

use crate::{ClientError, ask::Ask, exchange::Exchange, location::encoded, reply::one_line};

/// A repository that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub name: String,
    #[serde(default, deserialize_with = "nothing_is_empty")]
    pub description: String,
    #[serde(default, rename = "star_count")]
    pub stars: u64,
    #[serde(default, rename = "is_official")]
    pub official: bool,
    #[serde(default, rename = "is_automated")]
    pub automated: bool,
}

/// Asks Docker Hub, whose search is older than the protocol.
pub(crate) fn hub(exchange: &Exchange<'_>, term: &str, limit: usize) -> Result<Vec<Found>, ClientError> {
    #[derive(Deserialize)]
    struct Answer {
        results: Vec<Found>,
    }
    let ask = Ask::new(Method::GET, format!("/v1/search?q={}&n={limit}", encoded(term)));
    let answer: Answer = exchange.send(&ask, &[])?.json("what it found", ANSWER_LIMIT)?;
    let tidy = |found: Found| Found {
        name: one_line(&found.name),
        description: one_line(&found.description),
        ..found
    };
    Ok(answer.results.into_iter().take(limit).map(tidy).collect())
}

/// The names in a catalogue that hold `term`.
pub(crate) fn filter(catalog: Vec<String>, term: &str, limit: usize) -> Vec<Found> {
    let term = term.to_lowercase();
    let names = catalog.into_iter().filter(|name| name.to_lowercase().contains(&term)).take(limit);
    names
        .map(|name| Found { name, description: String::new(), stars: 0, official: false, automated: false })
        .collect()
}

fn nothing_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

pub(crate) const HUB_INDEX: &str = "index.docker.io";
const ANSWER_LIMIT: u64 = 4 << 20;
