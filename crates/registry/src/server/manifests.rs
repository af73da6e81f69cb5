//! Manifests, coming and going.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
};
use image::manifest::MANIFEST_LIMIT;

use super::{
    Ask, Code, Refusal,
    blobs::{ascii, describe, etag, is_known},
    body, route,
};
use crate::{
    digest::Digest,
    name::{Reference, RepositoryName, Tag},
};

/// `GET` and `HEAD /v2/<name>/manifests/<reference>`
///
/// What is pushed is what is served, whatever the client says it would accept: to turn one kind of manifest into another
/// would change its digest.
pub async fn get(
    ask: Ask<'_>,
    name: RepositoryName,
    reference: Reference,
) -> Result<Response<Body>, Refusal> {
    let unknown = || Refusal::new(Code::ManifestUnknown).about(format!("unknown {reference}"));
    if let Some(upstream) = &ask.registry.upstream {
        upstream.bring_manifest(ask.contents(), &name, &reference).await?;
    }
    let (digest, media_type) = ask.contents().find(&name, &reference).await?.ok_or_else(unknown)?;
    let mut response = Response::new(Body::empty());
    describe(response.headers_mut(), &digest);
    if is_known(ask.header(header::IF_NONE_MATCH), &etag(&digest)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let media_type = HeaderValue::from_str(&media_type).map_err(|_| Refusal::new(Code::Unknown))?;
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    if ask.parts.method == "HEAD" {
        let size = ask.contents().storage.blob(&digest).await?.ok_or_else(unknown)?.size;
        response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
    } else {
        let bytes = ask.contents().bytes(&digest).await?.ok_or_else(unknown)?;
        response.headers_mut().insert(header::CONTENT_LENGTH, bytes.len().into());
        *response.body_mut() = Body::from(bytes);
    }
    Ok(response)
}

/// `PUT /v2/<name>/manifests/<reference>`, with `?digest=` to choose the algorithm for a tag, and `?tag=` to name a digest.
pub async fn put(
    ask: Ask<'_>,
    name: RepositoryName,
    reference: Reference,
    body: Body,
) -> Result<Response<Body>, Refusal> {
    let declared = ask.header(header::CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
    if declared.is_some_and(|length| length > MANIFEST_LIMIT) {
        return Err(Refusal::new(Code::TooLarge));
    }
    let mut tags: Vec<Tag> = Vec::new();
    for tag in ask.parameters("tag").take(TAGS) {
        tags.push(tag.parse().map_err(|_| Refusal::new(Code::TagInvalid).about(tag))?);
    }
    let bytes = body::whole(body, MANIFEST_LIMIT, ask.registry.patience).await?;
    let digest = match reference {
        Reference::Digest(digest) => digest,
        Reference::Tag(tag) => {
            tags.push(tag);
            match ask.parameter("digest") {
                Some(text) => route::digest(&text)?,
                None => Digest::of(&bytes),
            }
        }
    };
    let content_type = ask.header(header::CONTENT_TYPE).map(str::to_owned);
    let contents = ask.contents().clone();
    // Once it is checked it is put in place, even if the client goes away.
    let put = tokio::spawn({
        let (name, tags) = (name.clone(), tags.clone());
        async move { contents.put_manifest(&name, &digest, &tags, content_type.as_deref(), bytes).await }
    });
    let manifest = put.await.map_err(|_| Refusal::new(Code::Unknown))??;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    describe(headers, &digest);
    headers.insert(header::LOCATION, ascii(&format!("/v2/{name}/manifests/{digest}")));
    for tag in &tags {
        headers.append(HeaderName::from_static("oci-tag"), ascii(tag.as_str()));
    }
    if let Some(subject) = manifest.subject {
        headers.insert(HeaderName::from_static("oci-subject"), ascii(&subject.to_string()));
    }
    Ok(response)
}

/// `DELETE /v2/<name>/manifests/<reference>`: a tag goes alone, a manifest takes its tags with it.
pub async fn delete(
    ask: Ask<'_>,
    name: RepositoryName,
    reference: Reference,
) -> Result<Response<Body>, Refusal> {
    let contents = ask.contents().clone();
    let removed = tokio::spawn({
        let reference = reference.clone();
        async move {
            match &reference {
                Reference::Tag(tag) => contents.remove_tag(&name, tag).await,
                Reference::Digest(digest) => contents.remove_manifest(&name, digest).await,
            }
        }
    });
    if !removed.await.map_err(|_| Refusal::new(Code::Unknown))?? {
        return Err(Refusal::new(Code::ManifestUnknown).about(format!("unknown {reference}")));
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// Tags that one push may name.
const TAGS: usize = 100;
