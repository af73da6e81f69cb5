//! Collections: what goes, what stays, and what pushes notice of them.

use std::time::Duration;

use serde_json::json;

use crate::support::{OCI_MANIFEST, Server, content, manifest, manifest_with, sha256};

#[test]
fn what_no_manifest_refers_to_goes_and_everything_else_stays() {
    let server = Server::told(json!({"grace": 0.5}));
    let image = server.push_image("a", "v1", b"layer");
    server.push_blob("a", b"orphan");
    server.push_blob("b", b"lonely");
    std::thread::sleep(Duration::from_millis(700));
    let collected = server.collect();
    assert_eq!((collected["links"].as_u64(), collected["blobs"].as_u64()), (Some(2), Some(2)), "{collected}");
    assert_eq!(server.head(&format!("/v2/a/blobs/{}", sha256(b"orphan"))).status, 404);
    assert_eq!(server.get(&format!("/v2/a/blobs/{}", sha256(b"layer"))).body, b"layer");
    assert_eq!(server.get(&format!("/v2/a/manifests/{image}")).status, 200);
    // A manifest that is deleted frees what only it referred to.
    assert_eq!(server.delete(&format!("/v2/a/manifests/{image}")).status, 202);
    std::thread::sleep(Duration::from_millis(700));
    let collected = server.collect();
    assert_eq!((collected["links"].as_u64(), collected["blobs"].as_u64()), (Some(2), Some(3)), "{collected}");
    assert_eq!(server.get("/v2/_catalog").json()["repositories"], json!([]));
    let left = std::process::Command::new("find").arg(server.root()).args(["-type", "f"]).output().unwrap();
    let left = String::from_utf8(left.stdout).unwrap();
    assert_eq!(left.lines().filter(|path| !path.ends_with("/gate")).count(), 0, "{left}");
}

#[test]
fn what_is_new_or_was_asked_for_is_spared() {
    let server = Server::told(json!({"grace": 3}));
    server.push_blob("a", b"asked for");
    server.push_blob("a", b"forgotten");
    std::thread::sleep(Duration::from_millis(2000));
    assert_eq!(server.head(&format!("/v2/a/blobs/{}", sha256(b"asked for"))).status, 200);
    std::thread::sleep(Duration::from_millis(1500));
    server.push_blob("a", b"new");
    assert_eq!(server.collect()["links"], 1);
    assert_eq!(server.head(&format!("/v2/a/blobs/{}", sha256(b"asked for"))).status, 200);
    assert_eq!(server.head(&format!("/v2/a/blobs/{}", sha256(b"new"))).status, 200);
    assert_eq!(server.head(&format!("/v2/a/blobs/{}", sha256(b"forgotten"))).status, 404);
}

#[test]
fn untagged_manifests_go_only_when_told_and_not_what_tags_lead_to() {
    let server = Server::told(json!({"grace": 0.3, "untagged": true}));
    let old = server.push_image("a", "v1", b"old");
    let new = server.push_image("a", "v1", b"new");
    server.push_blob("a", b"signature");
    let subject = json!({"mediaType": OCI_MANIFEST, "digest": new, "size": manifest(b"new").len()});
    let signature = manifest_with(b"signature", json!({"subject": subject}));
    let signed = sha256(signature.as_bytes());
    assert_eq!(server.put_manifest("a", &signed, OCI_MANIFEST, &signature).status, 201);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(server.collect()["manifests"], 1);
    for (digest, status) in [(&old, 404), (&new, 200), (&signed, 200)] {
        assert_eq!(server.head(&format!("/v2/a/manifests/{digest}")).status, status);
    }
    assert_eq!(server.head(&format!("/v2/a/blobs/{}", sha256(b"old"))).status, 404);
}

#[test]
fn pushes_never_lose_a_blob_to_collections_that_run_all_the_time() {
    let server = Server::told(json!({"grace": 1}));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                server.collect();
            }
        });
        let pushers: Vec<_> = (0..3)
            .map(|pusher| {
                let server = &server;
                scope.spawn(move || {
                    let repository = format!("r{pusher}");
                    for round in 0..25u32 {
                        // The same few layers again and again, deleted in between.
                        let layer = content(1000 + (round as usize % 3));
                        let digest = server.push_image(&repository, "v1", &layer);
                        std::thread::sleep(Duration::from_millis(60));
                        let blob = server.get(&format!("/v2/{repository}/blobs/{}", sha256(&layer)));
                        assert!(blob.body == layer, "round {round}: {blob:?}");
                        assert_eq!(
                            server.delete(&format!("/v2/{repository}/manifests/{digest}")).status,
                            202
                        );
                    }
                })
            })
            .collect();
        for pusher in pushers {
            pusher.join().unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
