//! Proving who we are: challenges, tokens, and what they are good for.

mod challenge;
mod token;

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
pub(crate) use challenge::Challenge;
pub(crate) use token::{Token, fetch};
use ureq::http::HeaderValue;

use crate::{Credentials, credentials::Secret};

/// What one token or password must be good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    /// `repository:library/busybox`, `registry:catalog`.
    resource: String,
    actions: &'static [&'static str],
}

impl Scope {
    pub fn pull(path: &str) -> Scope {
        Scope { resource: format!("repository:{path}"), actions: &["pull"] }
    }

    pub fn push(path: &str) -> Scope {
        Scope { resource: format!("repository:{path}"), actions: &["pull", "push"] }
    }

    pub fn delete(path: &str) -> Scope {
        Scope { resource: format!("repository:{path}"), actions: &["delete"] }
    }

    pub fn catalog() -> Scope {
        Scope { resource: "registry:catalog".to_owned(), actions: &["*"] }
    }

    fn covers(&self, other: &Scope) -> bool {
        self.resource == other.resource && other.actions.iter().all(|action| self.actions.contains(action))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.resource, self.actions.join(","))
    }
}

/// What is known about logging in to one registry.
#[derive(Debug, Default)]
pub(crate) struct Login {
    /// What the registry asked for last; `None` as long as it has asked for nothing.
    pub challenge: Option<Challenge>,
    /// Outer `None`: not looked for yet.
    pub credentials: Option<Option<Credentials>>,
    tokens: Vec<(Vec<Scope>, Token)>,
}

/// What a request is allowed with.
#[derive(Clone)]
pub(crate) struct Grant {
    pub header: HeaderValue,
    /// Made for this very request: if it is refused, another one would be, too.
    pub is_fresh: bool,
}

impl Login {
    /// A login that uses these credentials, whatever is kept.
    pub fn with(credentials: Credentials) -> Login {
        Login { credentials: Some(Some(credentials)), ..Login::default() }
    }

    /// A token that is good for all of `scopes`.
    pub fn token(&self, scopes: &[Scope]) -> Option<&Token> {
        let is_enough = |held: &[Scope]| scopes.iter().all(|scope| held.iter().any(|h| h.covers(scope)));
        self.tokens.iter().find(|(held, token)| token.is_valid() && is_enough(held)).map(|(_, token)| token)
    }

    pub fn keep(&mut self, scopes: &[Scope], token: Token) {
        self.tokens.retain(|(held, token)| token.is_valid() && held != scopes);
        self.tokens.push((scopes.to_vec(), token));
    }

    /// Forgets a token that the registry refused.
    pub fn forget(&mut self, refused: &HeaderValue) {
        self.tokens.retain(|(_, token)| token.header() != refused);
    }
}

/// `Authorization` for a challenge that wants a password.
pub(crate) fn basic(user: &str, secret: &Secret) -> HeaderValue {
    sensitive(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", secret.expose()))))
        .expect("base64 has no character that headers lack")
}

/// A header that is not shown by `Debug`. `None` if it has characters that headers lack.
fn sensitive(text: String) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}
