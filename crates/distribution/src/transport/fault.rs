//! What went wrong with a request, in our words.
//!
//! The library's own words are not passed on where they could hold a URL: those of content networks are signed,
//! and whoever reads one may use it.

use std::{error::Error as _, io, time::Duration};

use rustls::CertificateError;
use ureq::{Error, Timeout};

use super::{HEADER_LIMIT, resolver::LookupFailure};
use crate::ClientError;

/// The error of a request to `host`, which may be silent for `silence`.
pub(super) fn of(error: Error, host: &str, silence: Duration) -> ClientError {
    let host = host.to_owned();
    match error {
        Error::Io(error) => of_io(error, host, silence),
        Error::Timeout(Timeout::Connect) => {
            ClientError::Unreachable { host, source: io::ErrorKind::TimedOut.into() }
        }
        Error::Timeout(Timeout::Resolve) => ClientError::Lookup { host, reason: "no answer".to_owned() },
        Error::Timeout(_) => ClientError::Silent { host, after: silence },
        Error::HostNotFound => ClientError::Lookup { host, reason: "no such host".to_owned() },
        Error::Rustls(error) => ClientError::Tls { host, reason: reason(&error) },
        Error::Tls(reason) => ClientError::Tls { host, reason: reason.to_owned() },
        Error::LargeResponseHeader(..) => {
            ClientError::TooLarge { host, what: "headers", limit: HEADER_LIMIT as u64 }
        }
        Error::ConnectProxyFailed(reason) => ClientError::Proxy { host, reason },
        Error::Other(error) => match error.downcast::<LookupFailure>() {
            Ok(failure) => ClientError::Lookup { host: failure.host.clone(), reason: failure.to_string() },
            Err(_) => {
                ClientError::Protocol { host, what: "answers with something that is not HTTP".to_owned() }
            }
        },
        _ => ClientError::Protocol { host, what: "answers with something that is not HTTP".to_owned() },
    }
}

/// The error of reading from, or writing to, `host`.
pub(crate) fn of_io(error: io::Error, host: String, silence: Duration) -> ClientError {
    if error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
        return of(Error::from(error), &host, silence);
    }
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return ClientError::Tls { host, reason: reason(tls) };
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => ClientError::Unreachable { host, source: error },
        _ => ClientError::Broken { host, source: error },
    }
}

/// What is wrong with a certificate, or with the conversation about it.
fn reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => "its certificate is signed by unknown authority".to_owned(),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for other names".to_owned()
            }
            other => format!("its certificate is not valid: {other}"),
        },
        rustls::Error::InvalidMessage(_) => NO_TLS.to_owned(),
        other => match other.source() {
            Some(source) => format!("{other}: {source}"),
            None => other.to_string(),
        },
    }
}

/// Why who answers in another language cannot be trusted.
const NO_TLS: &str = "it does not speak TLS";

/// Whether somebody at the other end speaks TLS, and it is only that we could not agree.
pub(crate) fn is_disagreement(error: &ClientError) -> bool {
    matches!(error, ClientError::Tls { reason, .. } if reason != NO_TLS)
}
