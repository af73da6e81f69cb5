//! A registry in front of another.

use serde_json::json;

use crate::support::{Server, content, sha256};

#[test]
fn what_was_pulled_once_is_there_when_the_other_registry_is_not() {
    let upstream = Server::start();
    let layer = content(3_000_000);
    let digest = upstream.push_image("library/a", "v1", &layer);
    let cache = Server::told(json!({"proxy": format!("http://{}", upstream.address)}));
    let blob = format!("/v2/library/a/blobs/{}", sha256(&layer));
    let pull = || {
        let manifest = cache.get("/v2/library/a/manifests/v1");
        assert_eq!((manifest.status, manifest.header("docker-content-digest")), (200, Some(digest.as_str())));
        assert!(cache.get(&blob).body == layer);
    };
    assert_eq!(cache.head(&blob).header("content-length"), Some("3000000"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(pull);
        }
    });
    assert_eq!(cache.get("/v2/library/a/tags/list").json()["tags"], json!(["v1"]));
    assert_eq!(cache.get("/v2/library/a/manifests/none").status, 404);
    let fetched =
        String::from_utf8(crate::support::ask(upstream.operator, "GET", "/metrics", &[], b"").body).unwrap();
    let once = r#"registry_requests_total{method="GET",route="blob",status="200"} 1"#;
    assert!(fetched.contains(once), "{fetched}");
    // A tag that moves is followed.
    let moved = upstream.push_image("library/a", "v1", b"another");
    let manifest = cache.get("/v2/library/a/manifests/v1");
    assert_eq!(manifest.header("docker-content-digest"), Some(moved.as_str()));
    let refused = cache.ask("POST", "/v2/library/a/blobs/uploads/", &[], b"");
    assert_eq!((refused.status, refused.code().as_str()), (405, "UNSUPPORTED"));
    drop(upstream);
    let manifest = cache.get("/v2/library/a/manifests/v1");
    assert_eq!((manifest.status, manifest.header("docker-content-digest")), (200, Some(moved.as_str())));
    assert!(cache.get(&blob).body == layer);
    let part = cache.ask("GET", &blob, &[("Range", "bytes=0-9")], b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &layer[..10]));
}
