//! Pulling: manifests and blobs, whole and in part.

use crate::support::{OCI_MANIFEST, Server, content, manifest, sha256};

#[test]
fn the_base_says_that_this_is_a_registry() {
    let server = Server::start();
    for path in ["/v2/", "/v2"] {
        let reply = server.get(path);
        assert_eq!(
            (reply.status, reply.header("docker-distribution-api-version")),
            (200, Some("registry/2.0"))
        );
    }
    let reply = server.get("/v1/");
    assert_eq!(reply.status, 404);
}

#[test]
fn a_manifest_comes_as_it_was_pushed_by_tag_and_by_digest() {
    let server = Server::start();
    let digest = server.push_image("library/a", "v1", b"layer");
    let bytes = manifest(b"layer");
    for reference in ["v1", &digest] {
        let path = format!("/v2/library/a/manifests/{reference}");
        let reply = server.get(&path);
        assert_eq!((reply.status, reply.body.as_slice()), (200, bytes.as_bytes()));
        assert_eq!(reply.header("content-type"), Some(OCI_MANIFEST));
        assert_eq!(reply.header("docker-content-digest"), Some(digest.as_str()));
        let head = server.head(&path);
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), Some(bytes.len().to_string().as_str()));
        let etag = reply.header("etag").unwrap();
        let known = server.ask("GET", &path, &[("If-None-Match", etag)], b"");
        assert_eq!((known.status, known.body.len()), (304, 0));
    }
    let reply = server.get("/v2/library/a/manifests/v2");
    assert_eq!((reply.status, reply.code().as_str()), (404, "MANIFEST_UNKNOWN"));
    let reply = server.get("/v2/library/a/manifests/sha256:bad");
    assert_eq!((reply.status, reply.code().as_str()), (400, "DIGEST_INVALID"));
}

#[test]
fn a_blob_comes_whole_or_the_part_that_is_asked_for() {
    let server = Server::start();
    let content = content(1_000_000);
    let path = format!("/v2/a/blobs/{}", server.push_blob("a", &content));
    let whole = server.get(&path);
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, Some("bytes")));
    assert!(whole.body == content);
    assert_eq!(whole.header("content-type"), Some("application/octet-stream"));
    assert_eq!(server.head(&path).header("content-length"), Some("1000000"));
    for (range, from, to) in [("0-0", 0, 1), ("999999-", 999_999, 1_000_000), ("-3", 999_997, 1_000_000)] {
        let part = server.ask("GET", &path, &[("Range", &format!("bytes={range}"))], b"");
        assert_eq!(part.status, 206, "{range}");
        assert!(part.body == content[from..to], "{range}");
        assert_eq!(part.header("content-range"), Some(format!("bytes {from}-{}/1000000", to - 1).as_str()));
    }
    let beyond = server.ask("GET", &path, &[("Range", "bytes=1000000-")], b"");
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */1000000")));
    let changed = server.ask("GET", &path, &[("Range", "bytes=0-0"), ("If-Range", "\"other\"")], b"");
    assert_eq!((changed.status, changed.body.len()), (200, 1_000_000));
}

#[test]
fn a_blob_is_served_only_by_repositories_that_were_given_it() {
    let server = Server::start();
    let digest = server.push_blob("a", b"mine");
    for repository in ["b", "a/b"] {
        let reply = server.get(&format!("/v2/{repository}/blobs/{digest}"));
        assert_eq!((reply.status, reply.code().as_str()), (404, "BLOB_UNKNOWN"));
    }
    // Nor does a manifest that names it bring it.
    server.push_blob("b", b"{}");
    let reply = server.put_manifest("b", "v1", OCI_MANIFEST, &manifest(b"mine"));
    assert_eq!((reply.status, reply.code().as_str()), (400, "MANIFEST_BLOB_UNKNOWN"));
}

#[test]
fn names_that_climb_lead_nowhere() {
    let server = Server::start();
    std::fs::write(server.root().parent().unwrap().join("secret"), "secret").unwrap();
    let digest = sha256(b"x");
    for path in [
        "/v2/../../secret/manifests/x".to_owned(),
        "/v2/%2e%2e/%2e%2e/manifests/secret".to_owned(),
        "/v2/a/manifests/..%2f..%2f..%2f..%2fsecret".to_owned(),
        "/v2/a/manifests/....//secret".to_owned(),
        format!("/v2/..%2f..%2fa/blobs/{digest}"),
        "/v2/a/blobs/sha256:..%2f..%2f..%2fsecret".to_owned(),
        "/v2/a/blobs/uploads/..%2f..%2fsecret".to_owned(),
        format!("/v2/a/_blobs/sha256/blobs/{digest}"),
        "/v2/a%00/tags/list".to_owned(),
        "/v2/A/tags/list".to_owned(),
    ] {
        for method in ["GET", "PUT", "PATCH", "POST", "DELETE"] {
            let reply = server.ask(method, &path, &[], b"x");
            assert!((400..500).contains(&reply.status), "{method} {path}: {reply:?}");
            assert!(
                !reply.body.windows(6).any(|six| six == b"secret") || path.contains("secret"),
                "{reply:?}"
            );
        }
    }
}
