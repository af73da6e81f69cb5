//! Lists: what there is, page by page.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, header},
};
use image::manifest::OCI_INDEX;
use serde_json::{json, value::RawValue};

use super::{Ask, Code, Refusal, blobs::ascii, route};
use crate::{contents::Referrers, digest::Digest, name::RepositoryName};

/// `GET /v2/`: this is a registry, and you may use it.
pub fn base() -> Response<Body> {
    answer("application/json", "{}".to_owned())
}

/// `GET /v2/_catalog`
pub async fn catalog(ask: Ask<'_>) -> Result<Response<Body>, Refusal> {
    let page = Page::of(&ask)?;
    let (names, more) = match page.limit {
        0 => (Vec::new(), false),
        limit => ask.contents().repositories(page.last.as_deref(), limit).await?,
    };
    let mut response = answer("application/json", json!({ "repositories": names }).to_string());
    if let Some(last) = names.last().filter(|_| more) {
        link(&mut response, &format!("/v2/_catalog?last={}&n={}", escape(last), page.limit));
    }
    Ok(response)
}

/// `GET /v2/<name>/tags/list`
pub async fn tags(ask: Ask<'_>, name: RepositoryName) -> Result<Response<Body>, Refusal> {
    let page = Page::of(&ask)?;
    let unknown = || Refusal::new(Code::NameUnknown).about(json!({ "name": name.as_str() }));
    let upstream = match &ask.registry.upstream {
        Some(upstream) => upstream.tags(&name).await,
        None => None,
    };
    let found = match upstream {
        Some(tags) => Some(page.cut(tags)),
        None => ask.contents().tags(&name, page.last.as_deref(), page.limit.max(1)).await?,
    };
    let (mut tags, mut more) = found.ok_or_else(unknown)?;
    if page.limit == 0 {
        (tags, more) = (Vec::new(), false);
    }
    let mut response = answer("application/json", json!({ "name": name.as_str(), "tags": tags }).to_string());
    if let Some(last) = tags.last().filter(|_| more) {
        link(&mut response, &format!("/v2/{name}/tags/list?last={}&n={}", escape(last), page.limit));
    }
    Ok(response)
}

/// `GET /v2/<name>/referrers/<digest>`: never 404, so that clients do not fall back to tags.
pub async fn referrers(
    ask: Ask<'_>,
    name: RepositoryName,
    subject: Digest,
) -> Result<Response<Body>, Refusal> {
    let artifact_type = ask.parameter("artifactType").filter(|text| !text.is_empty());
    let last = ask.parameter("last").map(|text| route::digest(&text)).transpose()?;
    let asked =
        Referrers { repository: &name, subject: &subject, artifact_type: artifact_type.as_deref(), last };
    let page = ask.contents().referrers(&asked).await?;
    let mut response = answer(OCI_INDEX, index(&page.descriptors));
    if let Some(artifact_type) = &artifact_type {
        let applied = HeaderValue::from_static("artifactType");
        response.headers_mut().insert(HeaderName::from_static("oci-filters-applied"), applied);
        if let Some(next) = page.next {
            let artifact_type = escape(artifact_type);
            link(
                &mut response,
                &format!("/v2/{name}/referrers/{subject}?artifactType={artifact_type}&last={next}"),
            );
        }
    } else if let Some(next) = page.next {
        link(&mut response, &format!("/v2/{name}/referrers/{subject}?last={next}"));
    }
    Ok(response)
}

fn index(descriptors: &[Box<RawValue>]) -> String {
    let entries: Vec<&str> = descriptors.iter().map(|descriptor| descriptor.get()).collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{}]}}"#, entries.join(","))
}

/// Which part of a list is asked for.
struct Page {
    limit: usize,
    last: Option<String>,
}

impl Page {
    fn of(ask: &Ask<'_>) -> Result<Page, Refusal> {
        let limit = match ask.parameter("n") {
            None => PAGE,
            Some(text) => match text.parse::<usize>() {
                Ok(n) => n.min(PAGE),
                Err(_) => return Err(Refusal::new(Code::PageInvalid).about(json!({ "n": text }))),
            },
        };
        Ok(Page { limit, last: ask.parameter("last").filter(|last| !last.is_empty()) })
    }

    /// This part of a list, and whether there is more.
    fn cut(&self, mut all: Vec<String>) -> (Vec<String>, bool) {
        all.sort_unstable();
        all.retain(|entry| self.last.as_ref().is_none_or(|last| entry > last));
        let more = all.len() > self.limit;
        all.truncate(self.limit);
        (all, more)
    }
}

fn answer(content_type: &'static str, content: String) -> Response<Body> {
    let mut response = Response::new(Body::from(content));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Says where the list goes on (RFC 8288).
fn link(response: &mut Response<Body>, target: &str) {
    response.headers_mut().insert(header::LINK, ascii(&format!("<{target}>; rel=\"next\"")));
}

fn escape(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Entries in one answer at most.
const PAGE: usize = 1000;
