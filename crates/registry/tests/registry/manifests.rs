//! Manifests: what is taken, what they need, how they go.

use serde_json::json;

use crate::support::{OCI_INDEX, OCI_MANIFEST, Server, descriptor, manifest, manifest_with, sha256};

#[test]
fn a_manifest_needs_its_blobs_and_an_index_its_manifests() {
    let server = Server::start();
    let refused = server.put_manifest("a", "v1", OCI_MANIFEST, &manifest(b"layer"));
    assert_eq!((refused.status, refused.code().as_str()), (400, "MANIFEST_BLOB_UNKNOWN"));
    assert!(refused.json()["errors"][0]["detail"].to_string().contains(&sha256(b"layer")));
    let index = |of: &str| {
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST, of.as_bytes())]})
            .to_string()
    };
    let of_image = index(&manifest(b"layer"));
    let refused = server.put_manifest("a", "all", OCI_INDEX, &of_image);
    assert_eq!((refused.status, refused.code().as_str()), (400, "MANIFEST_BLOB_UNKNOWN"));
    server.push_image("a", "v1", b"layer");
    assert_eq!(server.put_manifest("a", "all", OCI_INDEX, &of_image).status, 201);
    assert_eq!(server.put_manifest("a", "nested", OCI_INDEX, &index(&of_image)).status, 201);
}

#[test]
fn what_is_no_manifest_or_too_large_is_refused() {
    let server = Server::start();
    for (media_type, text) in [
        (OCI_MANIFEST, "{"),
        (OCI_MANIFEST, "[]"),
        (OCI_MANIFEST, r#"{"schemaVersion":2}"#),
        ("application/json", r#"{"schemaVersion":2}"#),
        (OCI_INDEX, &manifest(b"layer")),
        (OCI_INDEX, r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#),
        (
            OCI_MANIFEST,
            &format!(r#"{{"schemaVersion":2,"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000)),
        ),
    ] {
        let reply = server.put_manifest("a", "v1", media_type, text);
        assert_eq!((reply.status, reply.code().as_str()), (400, "MANIFEST_INVALID"), "{media_type}");
    }
    let large = " ".repeat((4 << 20) + 1);
    assert_eq!(server.put_manifest("a", "v1", OCI_MANIFEST, &large).status, 413);
    let other = server.put_manifest("a", &sha256(b"other"), OCI_MANIFEST, &manifest(b"layer"));
    assert_eq!((other.status, other.code().as_str()), (400, "DIGEST_INVALID"));
}

#[test]
fn a_tag_goes_alone_and_a_manifest_takes_its_tags_with_it() {
    let server = Server::start();
    let digest = server.push_image("a", "v1", b"layer");
    for tag in ["v2", "v3"] {
        assert_eq!(server.put_manifest("a", tag, OCI_MANIFEST, &manifest(b"layer")).status, 201);
    }
    assert_eq!(server.delete("/v2/a/manifests/v1").status, 202);
    assert_eq!(server.delete("/v2/a/manifests/v1").status, 404);
    assert_eq!(server.head("/v2/a/manifests/v2").status, 200);
    assert_eq!(server.delete(&format!("/v2/a/manifests/{digest}")).status, 202);
    for reference in ["v2", "v3", &digest] {
        assert_eq!(server.get(&format!("/v2/a/manifests/{reference}")).status, 404, "{reference}");
    }
    assert_eq!(server.get("/v2/a/tags/list").json()["tags"], json!([]));
}

#[test]
fn what_refers_to_a_manifest_is_listed_with_it_there_or_not() {
    let server = Server::start();
    let subject = descriptor(OCI_MANIFEST, b"a manifest that is not here");
    let digest = sha256(b"a manifest that is not here");
    let path = format!("/v2/a/referrers/{digest}");
    let none = server.get(&path);
    assert_eq!((none.status, none.header("content-type")), (200, Some(OCI_INDEX)));
    assert_eq!(none.json()["manifests"], json!([]));
    for blob in [b"{}".as_slice(), b"sbom", b"signature"] {
        server.push_blob("a", blob);
    }
    let about = |content: &[u8], kind: &str| {
        manifest_with(content, json!({"subject": subject, "artifactType": kind, "annotations": {"k": kind}}))
    };
    let (sbom, signature) = (about(b"sbom", "x/sbom"), about(b"signature", "x/signature"));
    for text in [&sbom, &signature] {
        let reply = server.put_manifest("a", &sha256(text.as_bytes()), OCI_MANIFEST, text);
        assert_eq!((reply.status, reply.header("oci-subject")), (201, Some(digest.as_str())));
    }
    assert_eq!(server.get(&path).json()["manifests"].as_array().unwrap().len(), 2);
    let filtered = server.get(&format!("{path}?artifactType=x%2Fsbom"));
    assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"));
    let expected = json!([{
        "mediaType": OCI_MANIFEST, "digest": sha256(sbom.as_bytes()), "size": sbom.len(),
        "artifactType": "x/sbom", "annotations": {"k": "x/sbom"},
    }]);
    assert_eq!(filtered.json()["manifests"], expected);
    assert_eq!(server.delete(&format!("/v2/a/manifests/{}", sha256(sbom.as_bytes()))).status, 202);
    assert_eq!(server.get(&path).json()["manifests"].as_array().unwrap().len(), 1);
}

#[test]
fn a_push_by_digest_may_name_tags() {
    let server = Server::start();
    let digest = server.push_image("a", "v1", b"layer");
    let path = format!("{digest}?tag=v2&tag=v3");
    let reply = server.put_manifest("a", &path, OCI_MANIFEST, &manifest(b"layer"));
    assert_eq!((reply.status, reply.header("oci-tag")), (201, Some("v2")));
    assert_eq!(server.head("/v2/a/manifests/v3").header("docker-content-digest"), Some(digest.as_str()));
}

#[test]
fn deleting_and_pushing_can_be_switched_off() {
    let server = Server::told(json!({"writes": "push"}));
    let digest = server.push_image("a", "v1", b"layer");
    for path in [
        "/v2/a/manifests/v1",
        &format!("/v2/a/manifests/{digest}"),
        &format!("/v2/a/blobs/{}", sha256(b"layer")),
    ] {
        let reply = server.delete(path);
        assert_eq!((reply.status, reply.code().as_str()), (405, "UNSUPPORTED"), "{path}");
    }
    let directory = server.kill();
    let server = Server::in_directory(&directory.path().join("registry"), json!({"writes": "nothing"}));
    assert_eq!(server.get("/v2/a/manifests/v1").status, 200);
    let reply = server.ask("POST", "/v2/a/blobs/uploads/", &[], b"");
    assert_eq!((reply.status, reply.code().as_str()), (405, "UNSUPPORTED"));
    assert_eq!(server.put_manifest("a", "v2", OCI_MANIFEST, &manifest(b"layer")).status, 405);
}
