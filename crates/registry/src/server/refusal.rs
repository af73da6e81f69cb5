//! Errors as the protocol tells them: a status, and JSON with a code.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};

use crate::{
    contents::PutError,
    storage::{Interrupted, StorageError, UploadError},
};

/// An answer that is an error.
#[derive(Debug)]
pub struct Refusal {
    pub code: Code,
    message: String,
    /// Boxed, because errors travel through many functions and are rare.
    detail: Option<Box<Value>>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What the log says and the client need not know.
    pub cause: Option<String>,
}

/// The codes of the specification, and docker's for what it left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PageInvalid,
    RangeInvalid,
    SizeInvalid,
    TagInvalid,
    Unauthorized,
    Unsupported,
    TooManyRequests,
    TooLarge,
    Timeout,
    NotFound,
    Conflict,
    Upstream,
    NoSpace,
    Unknown,
}

impl Code {
    /// The status, the code's name, and what it means.
    fn describe(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Code::BlobUnknown => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry"),
            Code::BlobUploadInvalid => {
                (StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", "blob upload invalid")
            }
            Code::BlobUploadUnknown => {
                (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
            }
            Code::DigestInvalid => {
                (StatusCode::BAD_REQUEST, "DIGEST_INVALID", "provided digest did not match uploaded content")
            }
            Code::ManifestBlobUnknown => {
                (StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
            }
            Code::ManifestInvalid => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID", "manifest invalid"),
            Code::ManifestUnknown => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown"),
            Code::NameInvalid => (StatusCode::BAD_REQUEST, "NAME_INVALID", "invalid repository name"),
            Code::NameUnknown => {
                (StatusCode::NOT_FOUND, "NAME_UNKNOWN", "repository name not known to registry")
            }
            Code::PageInvalid => {
                (StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", "invalid number of results requested")
            }
            Code::RangeInvalid => {
                (StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", "invalid content range")
            }
            Code::SizeInvalid => {
                (StatusCode::BAD_REQUEST, "SIZE_INVALID", "provided length did not match content length")
            }
            Code::TagInvalid => (StatusCode::BAD_REQUEST, "TAG_INVALID", "invalid tag"),
            Code::Unauthorized => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required"),
            Code::Unsupported => {
                (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported")
            }
            Code::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "too many requests"),
            Code::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "manifest too large"),
            Code::Timeout => (StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID", "no bytes for too long"),
            Code::NotFound => (StatusCode::NOT_FOUND, "UNSUPPORTED", "no such path"),
            Code::Conflict => {
                (StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", "another request is adding to the upload")
            }
            Code::Upstream => {
                (StatusCode::BAD_GATEWAY, "UNKNOWN", "the registry behind this one does not answer")
            }
            Code::NoSpace => (StatusCode::INSUFFICIENT_STORAGE, "UNKNOWN", "no space left"),
            Code::Unknown => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "unknown error"),
        }
    }
}

impl Refusal {
    pub fn new(code: Code) -> Refusal {
        let message = code.describe().2.to_owned();
        Refusal { code, message, detail: None, headers: Vec::new(), cause: None }
    }

    /// Nothing is served under that path.
    pub fn no_route() -> Refusal {
        Refusal::new(Code::NotFound)
    }

    /// Says more than the code does.
    pub fn saying(mut self, message: impl Into<String>) -> Refusal {
        self.message = message.into();
        self
    }

    /// What it is about, for programs.
    pub fn about(mut self, detail: impl Into<Value>) -> Refusal {
        self.detail = Some(Box::new(detail.into()));
        self
    }

    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Refusal {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        let (status, code, _) = self.code.describe();
        let error = match self.detail {
            None => json!({ "code": code, "message": self.message }),
            Some(detail) => json!({ "code": code, "message": self.message, "detail": *detail }),
        };
        let body = json!({ "errors": [error] }).to_string() + "\n";
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Refusal {
        let code = match &error {
            StorageError::Io { source, .. } if is_full(source) => Code::NoSpace,
            _ => Code::Unknown,
        };
        let mut refusal = Refusal::new(code);
        refusal.cause = Some(chain(&error));
        refusal
    }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Refusal {
        match error {
            UploadError::Unknown => Refusal::new(Code::BlobUploadUnknown),
            UploadError::Offset { .. } => Refusal::new(Code::RangeInvalid),
            UploadError::Busy => Refusal::new(Code::Conflict),
            UploadError::Mismatch { actual } => {
                Refusal::new(Code::DigestInvalid).about(format!("the content hashes to {actual}"))
            }
            UploadError::Interrupted(Interrupted::TooMany) => Refusal::new(Code::SizeInvalid),
            UploadError::Interrupted(Interrupted::TooSlow) => Refusal::new(Code::Timeout),
            UploadError::Interrupted(Interrupted::Replaced) => Refusal::new(Code::Conflict),
            UploadError::Interrupted(Interrupted::Gone) => Refusal::new(Code::BlobUploadInvalid),
            UploadError::Storage(error) => error.into(),
        }
    }
}

impl From<PutError> for Refusal {
    fn from(error: PutError) -> Refusal {
        match error {
            PutError::Invalid(why) => {
                Refusal::new(Code::ManifestInvalid).saying(format!("manifest invalid: {why}"))
            }
            PutError::Digest { actual } => {
                Refusal::new(Code::DigestInvalid).about(format!("the content hashes to {actual}"))
            }
            PutError::Missing(digests) => {
                let missing: Vec<Value> =
                    digests.iter().take(MISSING).map(|d| json!({ "digest": d })).collect();
                Refusal::new(Code::ManifestBlobUnknown).about(missing)
            }
            PutError::Storage(error) => error.into(),
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// An error with all its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}

/// How many missing blobs an answer names.
const MISSING: usize = 100;
