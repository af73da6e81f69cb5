//! Manifests, from registries that keep to the rules and from those that do not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use distribution::{ClientError, Selector};
use image::manifest::OCI_MANIFEST;
use types::Digest;

use crate::{
    User,
    server::{Answer, Request, Server, answer},
};

const MANIFEST: &str = r#"{"schemaVersion":2}"#;

fn tag() -> Selector {
    Selector::Tag("1".to_owned())
}

fn manifest() -> Answer {
    answer(200)
        .header("Content-Type", format!("{OCI_MANIFEST}; charset=utf-8"))
        .header("Docker-Content-Digest", Digest::of(MANIFEST.as_bytes()))
        .body(MANIFEST)
}

/// A manifest that the registry says has this digest.
fn answer_with_digest(digest: &'static str) -> impl Fn(&mut Request<'_>) -> Answer {
    move |_| {
        answer(200)
            .header("Content-Type", OCI_MANIFEST)
            .header("Docker-Content-Digest", digest)
            .body(MANIFEST)
    }
}

/// The error of fetching `a:1` from a server that answers so.
fn error_of(answer: impl Fn(&mut Request<'_>) -> Answer + Send + Sync + 'static) -> ClientError {
    let server = Server::start(answer);
    User::new().client().repository(&server.authority, "a").manifest(&tag()).unwrap_err()
}

#[test]
fn a_manifest_comes_with_its_digest_and_its_type() {
    let server = Server::start(|_| manifest());
    let client = User::new().client();
    let fetched = client.repository(&server.authority, "library/a").manifest(&tag()).unwrap();
    assert_eq!(fetched.bytes, MANIFEST.as_bytes());
    assert_eq!(
        (fetched.media_type.as_str(), fetched.digest),
        (OCI_MANIFEST, Digest::of(MANIFEST.as_bytes()))
    );
    assert_eq!(server.lines(), ["GET /v2/library/a/manifests/1"]);
    let accepted = server.seen()[0].header("accept").unwrap().to_owned();
    assert!(accepted.contains(OCI_MANIFEST) && accepted.contains("docker.distribution.manifest.list"));
    assert!(server.seen()[0].header("user-agent").unwrap().starts_with("sampan/"));
}

#[test]
fn a_manifest_that_is_not_what_was_asked_for_is_damaged() {
    let other = Digest::of(b"other");
    let lie = move |_: &mut Request<'_>| manifest().body("{}");
    assert!(matches!(error_of(lie), ClientError::Damaged { .. }), "its digest is in a header");
    let server = Server::start(|_| answer(200).header("Content-Type", OCI_MANIFEST).body(MANIFEST));
    let client = User::new().client();
    let error = client.repository(&server.authority, "a").manifest(&Selector::Digest(other)).unwrap_err();
    assert!(matches!(error, ClientError::Damaged { expected, .. } if expected == other), "{error}");
    let nonsense = answer_with_digest("sha256:zz");
    assert!(error_of(nonsense).to_string().ends_with("sends a digest that is none"));
}

#[test]
fn a_manifest_is_found_by_head_and_by_get_where_that_is_not_answered() {
    let digest = Digest::of(MANIFEST.as_bytes());
    let client = User::new().client();
    let server = Server::start(|_| manifest());
    let found = client.repository(&server.authority, "a").find_manifest(&tag()).unwrap().unwrap();
    assert_eq!((found.digest, found.size, found.media_type.as_str()), (digest, 19, OCI_MANIFEST));
    assert_eq!(server.lines(), ["HEAD /v2/a/manifests/1"]);

    for refusal in [405, 200] {
        let server = Server::start(move |request| match request.seen.method.as_str() {
            "HEAD" => answer(refusal),
            _ => manifest(),
        });
        let found = client.repository(&server.authority, "a").find_manifest(&tag()).unwrap().unwrap();
        assert_eq!(found.digest, digest);
    }
    let server = Server::start(|_| answer(404));
    assert_eq!(client.repository(&server.authority, "a").find_manifest(&tag()).unwrap(), None);
}

#[test]
fn refusals_have_dockers_words() {
    let unknown = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
    let cases = [
        (404, unknown, "/a:1 not found: manifest unknown: manifest unknown"),
        (
            403,
            "",
            "/a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
        ),
        (401, "", "unauthorized: authentication required"),
        (
            401,
            r#"{"details":"incorrect username or password"}"#,
            "unauthorized: incorrect username or password",
        ),
        (400, r#"{"errors":[{"code":"TAG_INVALID","message":"a\u001b[31m\nb"}]}"#, ": tag invalid: a[31m b"),
        (418, "{{{", ": received unexpected HTTP status: 418"),
    ];
    for (status, body, words) in cases {
        let error = error_of(move |_| answer(status).json(body)).to_string();
        assert!(error.ends_with(words), "{error}\n{words}");
    }
}

#[test]
fn a_web_page_is_called_one() {
    for status in [200, 404] {
        let error = error_of(move |_| {
            answer(status).header("Content-Type", "text/html; charset=utf-8").body("<html>")
        });
        assert!(error.to_string().contains("answers with a web page"), "{error}");
        assert!(error.to_string().contains("a registry?"), "{error}");
    }
}

#[test]
fn what_passes_is_tried_again_five_times_in_all() {
    let tries = Arc::new(AtomicUsize::new(0));
    let count = tries.clone();
    let error = error_of(move |request| match request.seen.target.as_str() {
        "/v2/" => answer(200),
        _ => {
            count.fetch_add(1, Ordering::Relaxed);
            answer(503).header("Content-Type", "text/html").body("<html>")
        }
    });
    assert_eq!(tries.load(Ordering::Relaxed), 5);
    assert!(error.to_string().ends_with("received unexpected HTTP status: 503"), "{error}");

    for status in [429, 500, 502, 408] {
        let tries = AtomicUsize::new(0);
        let server = Server::start(move |request| match request.seen.target.as_str() {
            "/v2/" => answer(200),
            _ if tries.fetch_add(1, Ordering::Relaxed) < 3 => answer(status),
            _ => manifest(),
        });
        User::new().client().repository(&server.authority, "a").manifest(&tag()).unwrap();
        assert_eq!(server.lines().len(), 4, "{status}");
    }
}

#[test]
fn a_registry_that_asks_for_time_gets_it_within_reason() {
    let started = Instant::now();
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |request| match request.seen.target.as_str() {
        "/v2/" => answer(200),
        _ if tries.fetch_add(1, Ordering::Relaxed) == 0 => answer(429).header("Retry-After", 1),
        _ => manifest(),
    });
    User::new().client().repository(&server.authority, "a").manifest(&tag()).unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));

    let error = error_of(|_| answer(429).header("Retry-After", 3600));
    assert_eq!(error.to_string(), "toomanyrequests: too many requests (try again in 3600 seconds)");
}

#[test]
fn a_manifest_of_a_gigabyte_is_refused_before_and_while_it_is_read() {
    let announced = error_of(|_| manifest().header("Content-Length", 1u64 << 30));
    assert!(matches!(announced, ClientError::TooLarge { .. }), "{announced}");
    let endless = error_of(|_| answer(200).header("Content-Type", OCI_MANIFEST).endless(vec![b' '; 1 << 20]));
    assert!(matches!(endless, ClientError::TooLarge { .. }), "{endless}");
    let headers = error_of(|_| manifest().header("X", "x".repeat(100_000)));
    assert!(matches!(headers, ClientError::TooLarge { .. } | ClientError::Protocol { .. }), "{headers}");
}

#[test]
fn who_is_silent_is_not_waited_for() {
    let started = Instant::now();
    let error = error_of(|request| match request.seen.target.as_str() {
        "/v2/" => answer(200),
        _ => manifest().stalled(100, b"{"),
    });
    assert!(matches!(error, ClientError::Silent { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn nobody_waits_for_a_registry_that_is_not_there() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = User::new().client().repository(&nobody, "a").manifest(&tag()).unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&nobody));
}
