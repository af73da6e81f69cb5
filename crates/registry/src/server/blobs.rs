//! Blobs going out, and away.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};

use super::{Ask, Code, Refusal};
use crate::{
    digest::Digest,
    name::RepositoryName,
    range::{Selection, select},
    storage::ByteStream,
    upstream::Brought,
};

/// `GET` and `HEAD /v2/<name>/blobs/<digest>`
pub async fn get(ask: Ask<'_>, name: RepositoryName, digest: Digest) -> Result<Response<Body>, Refusal> {
    let unknown = || Refusal::new(Code::BlobUnknown).about(digest.to_string());
    let (size, stream) = find(&ask, &name, &digest).await?.ok_or_else(unknown)?;
    let etag = etag(&digest);
    let mut response = Response::new(Body::empty());
    describe(response.headers_mut(), &digest);
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // What has a digest never changes.
    let forever = HeaderValue::from_static("private, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, forever);
    if is_known(ask.header(header::IF_NONE_MATCH), &etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let may_be_part = ask.header(header::IF_RANGE).is_none_or(|known| known == etag);
    let selection = match ask.header(header::RANGE).filter(|_| may_be_part) {
        Some(range) => select(range, size),
        None => Selection::Whole,
    };
    let range = match selection {
        Selection::Whole => 0..size,
        Selection::Part(range) => {
            let text = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            response.headers_mut().insert(header::CONTENT_RANGE, ascii(&text));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            range
        }
        Selection::Unsatisfiable => {
            let refusal = Refusal::new(Code::RangeInvalid).saying("range not satisfiable");
            return Err(refusal.with(header::CONTENT_RANGE, ascii(&format!("bytes */{size}"))));
        }
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    if ask.parts.method == "GET" {
        let stream = match stream {
            Some(stream) => stream,
            None => ask.contents().storage.read(&digest, range).await?.ok_or_else(unknown)?,
        };
        *response.body_mut() = Body::from_stream(stream);
    }
    Ok(response)
}

/// The size of a blob; and its bytes, if they come from another registry right now.
async fn find(
    ask: &Ask<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Option<(u64, Option<ByteStream>)>, Refusal> {
    let here = ask.contents().blob(name, digest).await?.map(|size| (size, None));
    let Some(upstream) = ask.registry.upstream.as_ref().filter(|_| here.is_none()) else { return Ok(here) };
    if ask.parts.method == "HEAD" {
        return Ok(upstream.blob_size(name, digest).await?.map(|size| (size, None)));
    }
    match upstream.bring_blob(ask.contents(), name, digest).await? {
        Brought::Streaming { size, stream } if ask.header(header::RANGE).is_none() => {
            return Ok(Some((size, Some(stream))));
        }
        brought => brought.settle().await?,
    }
    Ok(ask.contents().blob(name, digest).await?.map(|size| (size, None)))
}

/// `DELETE /v2/<name>/blobs/<digest>`: the repository forgets it; its bytes go when nobody has it any more.
pub async fn delete(ask: Ask<'_>, name: RepositoryName, digest: Digest) -> Result<Response<Body>, Refusal> {
    if !ask.contents().take_blob(&name, &digest).await? {
        return Err(Refusal::new(Code::BlobUnknown).about(digest.to_string()));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert("docker-content-digest", ascii(&digest.to_string()));
    Ok(response)
}

/// Says which content an answer has or is about.
pub fn describe(headers: &mut HeaderMap, digest: &Digest) {
    headers.insert("docker-content-digest", ascii(&digest.to_string()));
    headers.insert(header::ETAG, ascii(&etag(digest)));
}

pub fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether `If-None-Match: <condition>` says that the client has it.
pub fn is_known(condition: Option<&str>, etag: &str) -> bool {
    let Some(condition) = condition else { return false };
    condition.split(',').map(|known| known.trim().trim_start_matches("W/")).any(|known| {
        // Docker's clients send the digest without quotes.
        known == "*" || known == etag || known == etag.trim_matches('"')
    })
}

/// A header's value made of what this server wrote itself.
pub fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digests, numbers and valid names are printable ASCII")
}
