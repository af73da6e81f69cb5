//! URLs as a Dockerfile and a command line write them, taken apart the way Go's `net/url` does.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// The parts of an absolute URL, as they were written but for the scheme, which is in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    pub scheme: String,
    /// What stands before `@`: `user`, `user:password`, a token.
    pub credentials: Option<String>,
    /// `host[:port]`.
    pub authority: String,
    /// With its slash; may be empty.
    pub path: String,
    pub query: Option<String>,
    pub fragment: Option<String>,
}

/// What a query says, in order.
pub type Values = Vec<(String, String)>;

impl Url {
    /// Takes apart `scheme://…`; `None` if that is not what `text` begins with, or if it could confuse whoever reads it
    /// line by line.
    pub fn parse(text: &str) -> Option<Url> {
        let (scheme, rest) = text.split_once("://")?;
        if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric()) || has_control(text) {
            return None;
        }
        let (rest, fragment) = cut(rest, '#');
        let (rest, query) = cut(rest, '?');
        let (place, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (credentials, authority) = match place.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials.to_owned()), authority),
            None => (None, place),
        };
        Some(Url {
            scheme: scheme.to_ascii_lowercase(),
            credentials,
            authority: authority.to_owned(),
            path: path.to_owned(),
            query,
            fragment,
        })
    }

    /// The path with `%20` and its like resolved.
    pub fn decoded_path(&self) -> String {
        decode(&self.path)
    }

    /// The query's names and values, in order. As in a form, `+` is a space.
    pub fn query_values(&self) -> Values {
        query_values(self.query.as_deref().unwrap_or_default())
    }

    /// The same place without credentials, query and fragment.
    pub fn place(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.path)
    }

    /// The `Authorization` that the credentials are, if there are any.
    pub fn basic_authorization(&self) -> Option<String> {
        self.credentials.as_deref().filter(|credentials| !credentials.is_empty()).map(basic_authorization)
    }

    /// What a request is made for: without credentials and fragment, and with everything encoded that has to be.
    pub fn request(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{}", encode(query))).unwrap_or_default();
        let path = if self.path.is_empty() { "/" } else { &self.path };
        format!("{}://{}{}{query}", self.scheme, self.authority, encode(path))
    }
}

/// As it was written, with credentials masked as BuildKit masks them.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        match self.credentials.as_deref() {
            None | Some("") => {}
            Some(credentials) if credentials.contains(':') => f.write_str("xxxxx:xxxxx@")?,
            Some(_) => f.write_str("xxxxx@")?,
        }
        write!(f, "{}{}", self.authority, self.path)?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        match &self.fragment {
            Some(fragment) => write!(f, "#{fragment}"),
            None => Ok(()),
        }
    }
}

/// No credentials in there either.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// The `Authorization` (RFC 7617) that the credentials of a URL are. Whoever has a token alone has no password.
pub fn basic_authorization(credentials: &str) -> String {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let login = format!("{}:{}", decode(user), decode(password));
    format!("Basic {}", BASE64_STANDARD.encode(login))
}

/// `text` with the credentials of a URL masked, if it is one.
pub fn redacted(text: &str) -> String {
    Url::parse(text).map_or_else(|| text.to_owned(), |url| url.to_string())
}

/// The names and values of a query, in order.
pub fn query_values(query: &str) -> Values {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

/// The text before the first `mark`, and what follows it.
pub fn cut(text: &str, mark: char) -> (&str, Option<String>) {
    match text.split_once(mark) {
        Some((before, after)) => (before, Some(after.to_owned())),
        None => (text, None),
    }
}

pub fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Resolves `%XX`. What is no such sequence stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = text
            .get(at..at + 3)
            .and_then(|escape| escape.strip_prefix('%'))
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Encodes what may not stand in a path or query as it is; what is encoded already stays.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_falls_into_its_parts() {
        let url = Url::parse("HTTPS://me:secret@h.example:8/a%20b/c?x=1&y=a+b#main:dir").expect("a URL");
        assert_eq!((url.scheme.as_str(), url.authority.as_str()), ("https", "h.example:8"));
        assert_eq!(url.credentials.as_deref(), Some("me:secret"));
        assert_eq!(url.decoded_path(), "/a b/c");
        assert_eq!(url.query_values(), [("x".into(), "1".into()), ("y".into(), "a b".into())]);
        assert_eq!(url.fragment.as_deref(), Some("main:dir"));
        assert_eq!(url.place(), "https://h.example:8/a%20b/c");
        assert_eq!(url.request(), "https://h.example:8/a%20b/c?x=1&y=a+b");
        for none in ["/a/b", "git@host:path", "://x", "a b://x", "http://a\nb"] {
            assert_eq!(Url::parse(none), None, "{none}");
        }
    }

    #[test]
    fn credentials_are_shown_to_nobody() {
        for (url, shown) in [
            ("https://me:secret@h/a", "https://xxxxx:xxxxx@h/a"),
            ("https://token@h/a#b", "https://xxxxx@h/a#b"),
            ("https://h/a?b", "https://h/a?b"),
            ("a/b@c", "a/b@c"),
        ] {
            assert_eq!(redacted(url), shown);
        }
        let url = Url::parse("https://me:sec%72et@h/a").expect("a URL");
        assert_eq!(url.basic_authorization().as_deref(), Some("Basic bWU6c2VjcmV0"));
        assert!(!format!("{url:?} {} {}", url.place(), url.request()).contains("secret"));
    }

    #[test]
    fn what_a_request_may_not_hold_is_encoded() {
        let url = Url::parse("http://h/ä b?q=ü").expect("a URL");
        assert_eq!(url.request(), "http://h/%C3%A4%20b?q=%C3%BC");
        assert_eq!(Url::parse("http://h").expect("a URL").request(), "http://h/");
        assert_eq!(decode("100%/%zz%4"), "100%/%zz%4");
    }
}
