//! What is asked of a registry.

use std::io::Read;

use ureq::http::{Method, Uri, header::HeaderName};

use crate::auth::Scope;

/// A request, as far as it can be made again.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub method: Method,
    pub to: To,
    pub headers: Vec<(HeaderName, String)>,
    pub scopes: Vec<Scope>,
    pub repository: Option<String>,
    /// What is not found if it is not there.
    pub what: String,
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub(crate) enum To {
    /// At the registry itself.
    Path(String),
    Url(Uri),
}

/// A request's body.
pub(crate) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// Exactly this many bytes; can be sent once.
    Stream(&'a mut dyn Read, u64),
}

impl Ask {
    /// A request for `path` at the registry, which starts with `/v2/`.
    pub fn new(method: Method, path: impl Into<String>) -> Ask {
        let to = To::Path(path.into());
        Ask { method, to, headers: Vec::new(), scopes: Vec::new(), repository: None, what: String::new() }
    }

    /// The same, at a URL that the registry itself gave.
    pub fn moved(self, method: Method, url: Uri) -> Ask {
        Ask { method, to: To::Url(url), ..self }
    }

    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Ask {
        self.headers.push((name, value.into()));
        self
    }

    pub fn scope(mut self, scope: Scope) -> Ask {
        self.scopes.push(scope);
        self
    }

    pub fn has_body(&self) -> bool {
        matches!(self.method, Method::POST | Method::PUT | Method::PATCH)
    }

    /// What errors are about.
    pub fn about(mut self, repository: &str, what: impl Into<String>) -> Ask {
        (self.repository, self.what) = (Some(repository.to_owned()), what.into());
        self
    }
}

impl Payload<'_> {
    /// The same payload once more, or what is left of a stream.
    pub fn again(&mut self) -> Payload<'_> {
        match self {
            Payload::None => Payload::None,
            Payload::Bytes(bytes) => Payload::Bytes(bytes),
            Payload::Stream(stream, length) => Payload::Stream(*stream, *length),
        }
    }
}
