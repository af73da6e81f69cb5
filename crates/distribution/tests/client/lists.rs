//! What comes in pages.

use distribution::ClientError;
use image::manifest::{Descriptor, Index, OCI_INDEX, OCI_MANIFEST};
use types::Digest;

use crate::{
    User,
    server::{Server, answer},
};

#[test]
fn tags_are_collected_over_all_pages() {
    let server = Server::start(|request| match request.seen.query("last") {
        None => answer(200)
            .json(r#"{"name":"a","tags":["1","2"]}"#)
            .header("Link", r#"</v2/a/tags/list?last=2&n=2>; rel="next""#),
        Some("2") => answer(200).json(r#"{"tags":["3"]}"#).header("Link", r#"<?last=3>; rel="next""#),
        Some(_) => answer(200).json(r#"{"tags":null}"#),
    });
    assert_eq!(User::new().client().repository(&server.authority, "a").tags().unwrap(), ["1", "2", "3"]);
    assert_eq!(server.lines()[2], "GET /v2/a/tags/list?last=3");
}

#[test]
fn a_catalogue_is_searched_where_there_is_nothing_better() {
    let server = Server::start(|_| answer(200).json(r#"{"repositories":["me/Web","db","web2"]}"#));
    let client = User::new().client();
    assert_eq!(client.catalog(&server.authority).unwrap(), ["me/Web", "db", "web2"]);
    let found = client.search(&server.authority, "web", 25).unwrap();
    assert_eq!(found.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["me/Web", "web2"]);
    assert_eq!(client.search(&server.authority, "web", 1).unwrap().len(), 1);
}

#[test]
fn pages_without_end_have_one() {
    let circle =
        Server::start(|_| answer(200).json(r#"{"tags":[]}"#).header("Link", "</v2/a/tags/list?x>; rel=next"));
    let client = User::new().client();
    let error = client.repository(&circle.authority, "a").tags().unwrap_err().to_string();
    assert!(error.ends_with("sends pages that lead in a circle"), "{error}");

    let endless = Server::start(|request| {
        let page: u32 = request.seen.query("page").map_or(0, |page| page.parse().unwrap());
        answer(200)
            .json(r#"{"tags":[]}"#)
            .header("Link", format!("</v2/a/tags/list?page={}>; rel=next", page + 1))
    });
    let error = client.repository(&endless.authority, "a").tags().unwrap_err().to_string();
    assert!(error.ends_with("sends more than 1000 pages"), "{error}");
    assert_eq!(endless.lines().len(), 1000);

    let large = Server::start(|request| {
        let page: u32 = request.seen.query("page").map_or(0, |page| page.parse().unwrap());
        answer(200)
            .json(&format!(r#"{{"tags":["{}"]}}"#, "x".repeat(3 << 20)))
            .header("Link", format!("</v2/a/tags/list?page={}>; rel=next", page + 1))
    });
    let error = client.repository(&large.authority, "a").tags().unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { what: "tags", .. }), "{error}");

    let away = Server::start(|_| {
        answer(200).json(r#"{"tags":[]}"#).header("Link", "<http://other.example/>; rel=next")
    });
    let error = client.repository(&away.authority, "a").tags().unwrap_err().to_string();
    assert!(error.ends_with("has its next page elsewhere"), "{error}");
}

#[test]
fn nonsense_is_called_that() {
    for nonsense in ["", "[", "[]", r#"{"tags":{}}"#, &"[".repeat(100_000)] {
        let nonsense = nonsense.to_owned();
        let server = Server::start(move |_| answer(200).json(&nonsense));
        let error = User::new().client().repository(&server.authority, "a").tags().unwrap_err();
        assert!(error.to_string().ends_with("sends tags that is not the JSON expected"), "{error}");
    }
    let server = Server::start(|_| answer(200).json("").endless(vec![b' '; 1 << 20]));
    let error = User::new().client().repository(&server.authority, "a").tags().unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { .. }), "{error}");
}

#[test]
fn referrers_come_from_where_the_registry_keeps_them() {
    let subject = Digest::of(b"subject");
    let index = |name: &[u8]| {
        let index = Index::new(vec![Descriptor::new(OCI_MANIFEST, Digest::of(name), 1)]);
        serde_json::to_vec(&index).unwrap()
    };
    let (first, second) = (index(b"1"), index(b"2"));
    let next = format!("</v2/a/referrers/{subject}?page=2>; rel=next");
    let pages = Server::start(move |request| {
        let answer = answer(200).header("Content-Type", OCI_INDEX);
        match request.seen.query("page") {
            None => answer.body(first.clone()).header("Link", &next),
            Some(_) => answer.body(second.clone()),
        }
    });
    let client = User::new().client();
    let referrers = client.repository(&pages.authority, "a").referrers(&subject).unwrap();
    let digests: Vec<_> = referrers.manifests.iter().map(|manifest| manifest.digest).collect();
    assert_eq!(digests, [Digest::of(b"1"), Digest::of(b"2")]);

    let third = index(b"3");
    let tag = format!("/v2/a/manifests/sha256-{}", subject.hex());
    let old = Server::start(move |request| match request.seen.target == tag {
        true => answer(200).header("Content-Type", OCI_INDEX).body(third.clone()),
        false => answer(404),
    });
    let referrers = client.repository(&old.authority, "a").referrers(&subject).unwrap();
    assert_eq!(referrers.manifests[0].digest, Digest::of(b"3"));
    let none = Server::start(|_| answer(404));
    assert!(client.repository(&none.authority, "a").referrers(&subject).unwrap().manifests.is_empty());
}
