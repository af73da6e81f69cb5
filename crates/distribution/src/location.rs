//! URLs: where a request goes, and where an answer points to.

use std::fmt::Write as _;

use ureq::http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};

/// Whom a URL speaks to. Credentials are for one origin only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub secure: bool,
    /// In lower case.
    pub host: String,
    pub port: u16,
}

impl Origin {
    /// The origin of an absolute `http` or `https` URL.
    pub fn of(url: &Uri) -> Option<Origin> {
        let secure = match url.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        Some(Origin { secure, host: url.host()?.to_ascii_lowercase(), port })
    }

    /// `host[:port]`, as certificates' directories and credentials are named.
    pub fn authority(&self) -> String {
        match (self.secure, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

/// Where `location` points to from `base` (RFC 3986, section 5.2, but for `..`). `None` if it is no URL of a web
/// server, or holds a password.
pub(crate) fn join(base: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (base.scheme_str()?, base.authority()?.as_str());
    let path = base.path();
    let text = match location {
        _ if location.contains("://") && !location.starts_with(['/', '?']) => location.to_owned(),
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        _ if location.starts_with('?') => format!("{scheme}://{authority}{path}{location}"),
        _ => {
            let directory = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
            format!("{scheme}://{authority}{directory}{location}")
        }
    };
    let url: Uri = text.parse().ok()?;
    let is_plain = !url.authority()?.as_str().contains('@');
    (is_plain && Origin::of(&url).is_some()).then_some(url)
}

/// `url` with another `name=value` in its query.
pub(crate) fn with_query(url: &Uri, name: &str, value: &str) -> Option<Uri> {
    let separator = if url.query().is_some() { '&' } else { '?' };
    format!("{url}{separator}{name}={}", encoded(value)).parse().ok()
}

/// A URL of a registry at `authority`.
pub(crate) fn url(secure: bool, authority: &str, path: &str) -> Option<Uri> {
    // The library takes a port that is none for one that is not there.
    let port = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest).split_once(':');
    if port.is_some_and(|(_, port)| port.parse::<u16>().is_err()) {
        return None;
    }
    let scheme = if secure { Scheme::HTTPS } else { Scheme::HTTP };
    Uri::builder()
        .scheme(scheme)
        .authority(authority.parse::<Authority>().ok()?)
        .path_and_query(path.parse::<PathAndQuery>().ok()?)
        .build()
        .ok()
}

/// `text` as it may stand in a query or a form.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str, location: &str) -> Option<String> {
        join(&base.parse().unwrap(), location).map(|url| url.to_string())
    }

    #[test]
    fn a_location_is_seen_from_where_it_was_found() {
        let base = "https://r.example:5000/v2/a/blobs/uploads/?x=1";
        let cases = [
            ("https://cdn.example/b?sig=1", "https://cdn.example/b?sig=1"),
            ("//cdn.example/b", "https://cdn.example/b"),
            ("/v2/a/blobs/uploads/7?_state=u%3D", "https://r.example:5000/v2/a/blobs/uploads/7?_state=u%3D"),
            ("?n=2", "https://r.example:5000/v2/a/blobs/uploads/?n=2"),
            ("7", "https://r.example:5000/v2/a/blobs/uploads/7"),
            (
                "/login?back=https://other.example/",
                "https://r.example:5000/login?back=https://other.example/",
            ),
        ];
        for (location, expected) in cases {
            assert_eq!(joined(base, location).as_deref(), Some(expected), "{location}");
        }
        for location in ["ftp://x/y", "file:///etc/passwd", "https://me:secret@x/y", "http://[", "https://"] {
            assert_eq!(joined(base, location), None, "{location}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origin = |url: &str| Origin::of(&url.parse().unwrap()).unwrap();
        assert_eq!(origin("https://A.example/x"), origin("https://a.example:443/y"));
        for other in ["http://a.example/", "https://a.example:444/", "https://b.a.example/"] {
            assert_ne!(origin("https://a.example/"), origin(other), "{other}");
        }
        assert_eq!(origin("http://a.example:80").authority(), "a.example");
        assert_eq!(origin("http://[::1]:5000").authority(), "[::1]:5000");
    }

    #[test]
    fn a_registry_is_a_host_with_a_port_that_exists() {
        assert_eq!(url(true, "[::1]:5000", "/v2/").unwrap().to_string(), "https://[::1]:5000/v2/");
        for wrong in ["a:99999", "a:", "a:b", "[::1]:x", ""] {
            assert_eq!(url(true, wrong, "/v2/"), None, "{wrong}");
        }
    }

    #[test]
    fn a_query_is_added_to_what_is_there() {
        let with = |url: &str| with_query(&url.parse().unwrap(), "digest", "sha256:0 ").unwrap().to_string();
        assert_eq!(with("http://a/b"), "http://a/b?digest=sha256%3A0%20");
        assert_eq!(with("http://a/b?c=d"), "http://a/b?c=d&digest=sha256%3A0%20");
    }
}
