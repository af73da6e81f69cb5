//! A registry in front of another.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
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

/// A registry that says that it has every blob, and sends none.
fn stalling_registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                while let Some(first) = lines.next().filter(|line| line.contains("HTTP")) {
                    while lines.next().is_some_and(|header| !header.is_empty()) {}
                    let length = if first.contains("/blobs/") { 1000 } else { 0 };
                    write!(&stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").unwrap();
                }
            });
        }
    });
    url
}

#[test]
fn a_slow_registry_behind_it_keeps_a_cache_from_nothing_else() {
    let cache = Server::told(json!({"proxy": stalling_registry()}));
    // More than there are threads for files.
    let waiting: Vec<_> = (0..40)
        .map(|number| {
            let path = format!("/v2/a/blobs/{}", sha256(&[number]));
            open(cache.address, "GET", &path, &[], None)
        })
        .collect();
    thread::sleep(Duration::from_secs(1));
    let asked = Instant::now();
    assert_eq!(cache.get("/readyz").status, 200);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    drop(waiting);
}
