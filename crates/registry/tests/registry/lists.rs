//! Lists in pages.

use serde_json::json;

use crate::support::{OCI_MANIFEST, Server, manifest};

#[test]
fn tags_come_in_order_and_in_pages_that_lead_to_each_other() {
    let server = Server::start();
    server.push_image("a", "b", b"layer");
    for tag in ["c", "a", "D", "10", "9"] {
        server.put_manifest("a", tag, OCI_MANIFEST, &manifest(b"layer"));
    }
    let all = server.get("/v2/a/tags/list");
    assert_eq!(all.json(), json!({"name": "a", "tags": ["10", "9", "D", "a", "b", "c"]}));
    assert_eq!(all.header("link"), None);
    let mut path = "/v2/a/tags/list?n=4".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = server.get(&path);
        pages.push(page.json()["tags"].clone());
        match page.header("link") {
            Some(link) => path = link.split(['<', '>']).nth(1).unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(pages, [json!(["10", "9", "D", "a"]), json!(["b", "c"])]);
    assert_eq!(server.get("/v2/a/tags/list?last=b").json()["tags"], json!(["c"]));
    assert_eq!(server.get("/v2/a/tags/list?n=0").json()["tags"], json!([]));
    assert_eq!(server.get("/v2/a/tags/list?n=x").code(), "PAGINATION_NUMBER_INVALID");
    assert_eq!(server.get("/v2/none/tags/list").code(), "NAME_UNKNOWN");
}

#[test]
fn the_catalogue_has_repositories_with_manifests_each_once() {
    let server = Server::start();
    server.push_blob("only/blobs", b"x");
    for repository in ["b", "a/b", "a", "a-b", "c/d/e"] {
        server.push_image(repository, "v1", b"layer");
    }
    let all = json!(["a", "a-b", "a/b", "b", "c/d/e"]);
    assert_eq!(server.get("/v2/_catalog").json()["repositories"], all);
    let first = server.get("/v2/_catalog?n=3");
    assert_eq!(first.json()["repositories"], json!(["a", "a-b", "a/b"]));
    let next = first.header("link").unwrap().split(['<', '>']).nth(1).unwrap();
    let rest = server.get(next);
    assert_eq!((rest.json()["repositories"].clone(), rest.header("link")), (json!(["b", "c/d/e"]), None));
}
