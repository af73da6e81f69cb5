//! A registry's answer: its headers, its body within bounds, and what it means if it is a refusal.

use std::{
    io::{self, Read},
    time::Duration,
};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::{
    Body, BodyReader,
    http::{HeaderMap, HeaderName, HeaderValue, Uri},
};

use crate::{ClientError, Refusal, transport};

/// An answer whose headers are there, and whose body may still be on its way.
pub(crate) struct Reply {
    pub status: u16,
    headers: HeaderMap,
    body: Body,
    /// Who answered, after all redirects.
    pub url: Uri,
    host: String,
    silence: Duration,
}

impl Reply {
    pub fn new(response: ureq::http::Response<Body>, url: Uri, host: String, silence: Duration) -> Reply {
        let (parts, body) = response.into_parts();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body, url, host, silence }
    }

    /// A header that is there once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }

    /// All headers of one name that are text.
    pub fn headers<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    pub fn all_headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers.iter()
    }

    /// Who answered, as a URL names a host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The whole body. Fails if it is larger than `limit` bytes, before reading it if it says so.
    pub fn bytes(self, what: &'static str, limit: u64) -> Result<Vec<u8>, ClientError> {
        let too_large = || ClientError::TooLarge { host: self.host.clone(), what, limit };
        if self.length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(self.length().unwrap_or(0) as usize);
        let mut body = self.body.into_with_config().limit(u64::MAX).reader().take(limit + 1);
        body.read_to_end(&mut bytes)
            .map_err(|error| transport::broken(error, self.host.clone(), self.silence))?;
        if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
    }

    /// The whole body as JSON.
    pub fn json<T: DeserializeOwned>(self, what: &'static str, limit: u64) -> Result<T, ClientError> {
        let host = self.host.clone();
        let bytes = self.bytes(what, limit)?;
        image::manifest::owned_json(&bytes, limit).map_err(|_| ClientError::Protocol {
            host,
            what: format!("sends {what} that is not the JSON expected"),
        })
    }

    /// Reads what is left of a body nobody wants, so that the connection can be used again.
    pub fn discard(self) {
        // If that does not work, the connection is closed instead.
        let _ = io::copy(&mut self.body.into_reader().take(ERROR_LIMIT), &mut io::sink());
    }

    /// The bytes the body is said to have. Nobody says so of a body sent in chunks.
    pub fn length(&self) -> Option<u64> {
        self.body.content_length()
    }

    /// The bytes that the answer to a GET would have, which the answer to a HEAD describes.
    pub fn described_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    pub fn into_reader(self) -> BodyReader<'static> {
        self.body.into_with_config().limit(u64::MAX).reader()
    }

    /// An error about this answer.
    pub fn nonsense(&self, what: impl Into<String>) -> ClientError {
        ClientError::Protocol { host: self.host.clone(), what: what.into() }
    }

    fn is_web_page(&self) -> bool {
        self.header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html"))
    }

    /// The error that a web page is, where none is expected.
    pub fn no_web_page(self, registry: &str) -> Result<Reply, ClientError> {
        match self.is_web_page() {
            true => Err(ClientError::WebPage {
                registry: registry.to_owned(),
                host: self.host.clone(),
                status: self.status,
            }),
            false => Ok(self),
        }
    }

    /// The error that this answer is. `what` was asked for.
    pub fn refusal(self, registry: &str, repository: Option<&str>, what: &str) -> ClientError {
        let status = self.status;
        if self.is_web_page() && !matches!(status, 401 | 429) && status < 500 {
            return ClientError::WebPage { registry: registry.to_owned(), host: self.host, status };
        }
        let retry_after = self.header("retry-after").and_then(|text| retry_after(text, Timestamp::now()));
        let is_json = self
            .header("content-type")
            .is_none_or(|kind| kind.contains("json") || kind.contains("text/plain"));
        let mut body = Vec::new();
        if is_json {
            // What arrived of a broken answer is as good as any.
            let _ = self.body.into_reader().take(ERROR_LIMIT).read_to_end(&mut body);
        }
        let (code, message) = said(&body);
        let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
        let refusal = |code: &str, message: &str| {
            Box::new(Refusal {
                registry: registry.to_owned(),
                repository: repository.map(str::to_owned),
                status,
                code: code.to_owned(),
                message: message.to_owned(),
                retry_after,
            })
        };
        match (status, code.as_str()) {
            (403, _) | (401, "DENIED") => {
                let message = or(message, "requested access to the resource is denied");
                ClientError::Denied(refusal(&or(code, "DENIED"), &message))
            }
            (401, _) => {
                let message = or(message, "authentication required");
                ClientError::Unauthorized(refusal(&or(code, "UNAUTHORIZED"), &message))
            }
            (404, _) => ClientError::NotFound { what: what.to_owned(), refusal: refusal(&code, &message) },
            (429, _) => {
                let message = or(message, "too many requests");
                ClientError::TooMany(refusal(&or(code, "TOOMANYREQUESTS"), &message))
            }
            _ => ClientError::Refused(refusal(&code, &message)),
        }
    }
}

/// The first error's code and message. Token servers say `details`, or `error` and `error_description`.
fn said(body: &[u8]) -> (String, String) {
    let Ok(body) = image::manifest::owned_json::<Value>(body, ERROR_LIMIT) else {
        return Default::default();
    };
    let error = body.get("errors").and_then(|errors| errors.get(0)).unwrap_or(&body);
    let text = |keys: &[&str]| {
        keys.iter().find_map(|key| error.get(key)).and_then(Value::as_str).map(one_line).unwrap_or_default()
    };
    let code = match text(&["code", "error"]) {
        code if code.len() <= 64 && !code.contains(' ') => code.to_ascii_uppercase(),
        _ => String::new(),
    };
    (code, text(&["message", "error_description", "details"]))
}

/// What a stranger says, on one line, without what terminals would obey, and not too long.
pub(crate) fn one_line(text: &str) -> String {
    let is_harmless = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let text: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(is_harmless)
        .take(MESSAGE_LIMIT)
        .collect();
    text.trim().to_owned()
}

/// How long `Retry-After` asks us to wait from `now` on: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// No more of a refusal is read.
const ERROR_LIMIT: u64 = 64 << 10;
/// No more of it is passed on.
const MESSAGE_LIMIT: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_is_found_where_registries_say_it() {
        let cases = [
            (
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#,
                "MANIFEST_UNKNOWN",
                "manifest unknown",
            ),
            (r#"{"details":"incorrect username or password"}"#, "", "incorrect username or password"),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#, "INVALID_GRANT", "expired"),
            (r#"{"errors":"x"}"#, "", ""),
            ("<html>", "", ""),
            ("", "", ""),
        ];
        for (body, code, message) in cases {
            assert_eq!(said(body.as_bytes()), (code.to_owned(), message.to_owned()), "{body}");
        }
    }

    #[test]
    fn terminals_are_not_told_what_to_do() {
        assert_eq!(one_line("\u{1b}[2Ja\nb\u{202e}c\0"), "[2Ja bc");
        assert_eq!(one_line(&"x".repeat(10_000)).len(), MESSAGE_LIMIT);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        let after = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0), "in the past");
        assert_eq!(after("soon"), None);
    }
}
