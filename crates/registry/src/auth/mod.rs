//! Who may do what.
//!
//! Knows names, actions, passwords and tokens. Knows nothing of what the registry has.

mod htpasswd;
mod keys;
mod signatures;
mod token;
mod watched;

use axum::http::{HeaderMap, HeaderValue, header};

pub use htpasswd::{Htpasswd, HtpasswdError};
pub use token::{Issuer, KeysError, Tokens};

use crate::{
    name::RepositoryName,
    server::{Code, Refusal},
};

/// How a registry finds out who asks.
pub enum Authentication {
    /// It does not: everybody may do everything.
    Open,
    /// Everybody with a password may do everything.
    Passwords(Htpasswd),
    /// Everybody may do what their token says.
    Tokens(Tokens),
}

/// What a request needs to be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// To be known, if the registry knows people at all.
    Nothing,
    Catalog,
    Repository(RepositoryName, &'static [Action]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Pull,
    Push,
    Delete,
}

/// Who asks, and what else they may do.
#[derive(Debug, Clone)]
pub struct Grant {
    pub user: Option<String>,
    scope: Scope,
}

#[derive(Debug, Clone)]
enum Scope {
    Everything,
    Granted(Vec<token::Granted>),
}

impl Authentication {
    /// Finds out who sent `headers`, and whether they may have `wanted`.
    pub async fn check(&self, headers: &HeaderMap, wanted: &Access) -> Result<Grant, Refusal> {
        match self {
            Authentication::Open => Ok(Grant { user: None, scope: Scope::Everything }),
            Authentication::Passwords(passwords) => {
                let user = passwords.check(headers.get(header::AUTHORIZATION)).await;
                let user = user.ok_or_else(|| {
                    let challenge = HeaderValue::from_static(r#"Basic realm="registry""#);
                    Refusal::new(Code::Unauthorized).with(header::WWW_AUTHENTICATE, challenge)
                })?;
                Ok(Grant { user: Some(user), scope: Scope::Everything })
            }
            Authentication::Tokens(tokens) => tokens.check(headers, wanted),
        }
    }
}

impl Grant {
    /// Whether it covers whatever there may be.
    pub fn covers_everything(&self) -> bool {
        matches!(self.scope, Scope::Everything)
    }

    /// Whether it covers `wanted` too.
    pub fn allows(&self, wanted: &Access) -> bool {
        match &self.scope {
            Scope::Everything => true,
            Scope::Granted(granted) => token::covers(granted, wanted),
        }
    }
}
