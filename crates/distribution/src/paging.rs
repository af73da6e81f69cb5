//! Lists that come in pages: tags, repositories, referrers.

use std::collections::HashSet;

use serde::Deserialize;
use ureq::http::{Method, Uri};

use crate::{
    ClientError,
    ask::Ask,
    exchange::Exchange,
    location::{self, Origin},
    reply::{Reply, one_line},
};

/// One page of names. The list is `null` at some registries where it is empty.
#[derive(Deserialize)]
struct Page {
    #[serde(alias = "repositories")]
    tags: Option<Vec<String>>,
}

/// The names on all pages, from that which `ask` asks for on. `what` they are, in words.
pub(crate) fn all(exchange: &Exchange<'_>, ask: Ask, what: &'static str) -> Result<Vec<String>, ClientError> {
    let mut names = Vec::new();
    pages(exchange, ask, what, |bytes| {
        let page: Page = image::manifest::owned_json(bytes, PAGE_LIMIT)
            .map_err(|_| exchange.nonsense(format!("sends {what} that is not the JSON expected")))?;
        names.extend(page.tags.unwrap_or_default().iter().map(|name| one_line(name)));
        Ok(())
    })?;
    Ok(names)
}

/// Hands every page of `what` to `take`, following `Link` headers, to no more than [`PAGES`], and to none twice. All
/// together they have at most [`LIST_LIMIT`] bytes.
pub(crate) fn pages(
    exchange: &Exchange<'_>,
    first: Ask,
    what: &'static str,
    mut take: impl FnMut(&[u8]) -> Result<(), ClientError>,
) -> Result<(), ClientError> {
    let mut ask = first;
    let mut seen = HashSet::new();
    let mut left = LIST_LIMIT;
    for _ in 0..PAGES {
        let reply = exchange.send(&ask, &[])?;
        let next = next(&reply)?;
        let bytes = reply.bytes(what, PAGE_LIMIT.min(left))?;
        left -= bytes.len() as u64;
        take(&bytes)?;
        match next {
            None => return Ok(()),
            Some(url) if seen.insert(url.clone()) => ask = ask.moved(Method::GET, url),
            Some(_) => return Err(exchange.nonsense("sends pages that lead in a circle".to_owned())),
        }
    }
    Err(exchange.nonsense(format!("sends more than {PAGES} pages")))
}

/// The page after this one: `Link: </v2/_catalog?last=x&n=100>; rel="next"` (RFC 8288).
fn next(reply: &Reply) -> Result<Option<Uri>, ClientError> {
    let Some(link) = reply.headers("link").find_map(target) else { return Ok(None) };
    let url = location::join(&reply.url, link).filter(|url| Origin::of(url) == Origin::of(&reply.url));
    url.map(Some).ok_or_else(|| reply.nonsense("has its next page elsewhere"))
}

/// The target of the link in `header` that is called `next`.
fn target(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        let (parameters, others) =
            after.split_once('<').map_or((after, ""), |(own, _)| (own, &after[own.len()..]));
        let is_next = parameters.split([';', ',']).any(|parameter| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel")
                    && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
            })
        });
        if is_next {
            return Some(target);
        }
        rest = others;
    }
}

/// How many names we ask for at a time.
pub(crate) const PAGE: usize = 1000;
const PAGES: usize = 1000;
const PAGE_LIMIT: u64 = 4 << 20;
/// Half a million names, and little enough to be held as a list.
const LIST_LIMIT: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        let cases = [
            (r#"</v2/_catalog?last=b&n=2>; rel="next""#, Some("/v2/_catalog?last=b&n=2")),
            ("</a>; rel=next", Some("/a")),
            (r#"</a>; rel="prev", </b?x=1,2>; title="x"; rel="next""#, Some("/b?x=1,2")),
            (r#"</a>; rel="prev""#, None),
            ("</a", None),
            ("", None),
        ];
        for (header, expected) in cases {
            assert_eq!(target(header), expected, "{header}");
        }
    }

    #[test]
    fn links_that_nobody_would_write_lead_where_they_say() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/header");
        let words = ["<", ">", ";", ",", "rel=next", "rel=\"next\"", "=", "\"", "</v2/", "é"];
        testkit::fuzz(&corpus, &words, |bytes| {
            let header = String::from_utf8_lossy(bytes);
            if let Some(target) = target(&header) {
                assert!(header.contains(&format!("<{target}>")), "{header}");
            }
        });
    }
}
