//! A registry in front of another.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::support::{Server, content, open, sha256};

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

#[test]
fn more_blobs_can_be_on_their_way_than_there_are_threads_for_files() {
    let upstream = Server::start();
    let layers: Vec<_> = (0..48).map(|number| [content(3_000_000), vec![number]].concat()).collect();
    let digests: Vec<_> = layers.iter().map(|layer| upstream.push_blob("a", layer)).collect();
    let cache = Server::told(json!({"proxy": format!("http://{}", upstream.address), "patience": 5.0}));
    thread::scope(|scope| {
        for (digest, layer) in digests.iter().zip(&layers) {
            let cache = &cache;
            scope.spawn(move || assert!(cache.get(&format!("/v2/a/blobs/{digest}")).body == *layer));
        }
    });
}

/// A registry that has one blob, and takes its time when it is asked for it first.
fn slow_registry(blob: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    static WAS_ASKED: AtomicBool = AtomicBool::new(false);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut requests = BufReader::new(&stream).lines().map_while(Result::ok);
                while let Some(first) = requests.next().filter(|line| line.contains("HTTP")) {
                    while requests.next().is_some_and(|header| !header.is_empty()) {}
                    if first.starts_with("HEAD") && !WAS_ASKED.swap(true, Ordering::Relaxed) {
                        thread::sleep(Duration::from_secs(1));
                    }
                    let body = if first.contains("/blobs/") { blob } else { b"{}" };
                    write!(&stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
                    if first.starts_with("GET") {
                        (&stream).write_all(body).unwrap();
                    }
                }
            });
        }
    });
    url
}

#[test]
fn a_client_that_goes_away_before_a_blob_comes_does_not_keep_it_from_others() {
    let cache = Server::told(json!({"proxy": slow_registry(b"the blob")}));
    let path = format!("/v2/a/blobs/{}", sha256(b"the blob"));
    let impatient = open(cache.address, "GET", &path, &[], None);
    thread::sleep(Duration::from_millis(300));
    drop(impatient);
    let patient = cache.get(&path);
    assert_eq!((patient.status, patient.body.as_slice()), (200, &b"the blob"[..]));
}
