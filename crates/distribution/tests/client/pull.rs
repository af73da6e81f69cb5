//! Manifests and blobs, from registries that keep to the rules and from those that do not.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use distribution::{Client, ClientError, Selector};
use image::manifest::{Descriptor, OCI_MANIFEST};
use types::Digest;

use crate::{
    User, bytes, layer,
    server::{Answer, Request, Server, answer, hang_up},
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

/// Reads `blob` from `offset` on; `answer` is asked with the number of the request.
fn read(
    blob: &Descriptor,
    offset: u64,
    answer: impl Fn(&mut Request<'_>, usize) -> Answer + Send + Sync + 'static,
) -> (Server, Result<Vec<u8>, String>) {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        if request.seen.target == "/v2/" {
            return self::answer(200);
        }
        let nth = count.fetch_add(1, Ordering::Relaxed);
        answer(request, nth)
    });
    let client = User::new().client();
    let read = || -> io::Result<Vec<u8>> {
        let mut reader = client.repository(&server.authority, "a").blob(blob, offset)?;
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        assert_eq!(reader.position(), blob.size);
        Ok(content)
    };
    let outcome = read().map_err(|error| error.to_string());
    (server, outcome)
}

/// The part of `content` that a request asks for.
fn part(request: &Request<'_>, content: &[u8]) -> Answer {
    match request.seen.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')) {
        Some(from) => {
            let from: usize = from.parse().unwrap();
            let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
            answer(206).header("Content-Range", range).body(&content[from..])
        }
        None => answer(200).body(content),
    }
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

#[test]
fn a_blob_is_read_from_where_one_wants_it() {
    let content = bytes(3 << 20);
    let blob = layer(&content);
    for offset in [0, 1, 1 << 20, blob.size] {
        let copy = content.clone();
        let (_, read) = read(&blob, offset, move |request, _| part(request, &copy));
        assert!(read.unwrap() == content[offset as usize..], "from {offset}");
    }
}

#[test]
fn a_blob_goes_on_where_the_connection_broke_off() {
    let content = bytes(1 << 20);
    let blob = layer(&content);
    let copy = content.clone();
    // Every connection brings 200,000 bytes.
    let (server, read) = read(&blob, 0, move |request, _| {
        let from = request.seen.header("range").map_or(0, |range| range[6..range.len() - 1].parse().unwrap());
        let rest: &[u8] = &copy[from..];
        let range = format!("bytes {from}-{}/{}", copy.len() - 1, copy.len());
        let status = if from == 0 { 200 } else { 206 };
        answer(status).header("Content-Range", range).short(rest.len(), &rest[..rest.len().min(200_000)])
    });
    assert!(read.unwrap() == content);
    let ranges: Vec<_> = server.seen().iter().map(|s| s.header("range").map(str::to_owned)).collect();
    assert_eq!(ranges.len(), 6);
    assert_eq!((ranges[0].as_deref(), ranges[1].as_deref()), (None, Some("bytes=200000-")));
}

#[test]
fn what_a_registry_without_ranges_sends_again_is_skipped() {
    let content = bytes(1 << 20);
    let blob = layer(&content);
    let copy = content.clone();
    let (server, read) = read(&blob, 0, move |_, nth| match nth {
        0 => answer(200).short(copy.len(), &copy[..300_000]),
        1 => answer(200).short(copy.len(), &copy[..100_000]),
        _ => answer(200).body(copy.clone()),
    });
    assert!(read.unwrap() == content);
    assert_eq!(server.lines().len(), 3);
}

#[test]
fn a_blob_that_gets_nowhere_fails_after_five_tries() {
    let content = bytes(100_000);
    let blob = layer(&content);
    let (server, read) = read(&blob, 0, move |request, nth| match nth {
        0 => answer(200).short(100_000, &content[..50_000]),
        _ => match request.seen.header("range") {
            Some("bytes=50000-") => hang_up(),
            other => panic!("{other:?}"),
        },
    });
    assert!(read.unwrap_err().contains("broke off"));
    assert_eq!(server.lines().len(), 5);
}

#[test]
fn a_stalled_blob_is_gone_on_with_over_another_connection() {
    let content = bytes(100_000);
    let blob = layer(&content);
    let copy = content.clone();
    let (_, read) = read(&blob, 0, move |request, nth| match nth {
        0 => answer(200).stalled(100_000, &copy[..70_000]),
        _ => part(request, &copy),
    });
    assert!(read.unwrap() == content);
}

#[test]
fn another_part_than_the_one_asked_for_is_an_error_at_once() {
    let content = bytes(100_000);
    let blob = layer(&content);
    for range in ["bytes 0-49999/100000", "bytes 50000-99999/100001", "bytes 50000-99998/100000", "nonsense"]
    {
        let copy = content.clone();
        let (server, read) =
            read(&blob, 50_000, move |_, _| answer(206).header("Content-Range", range).body(&copy[50_000..]));
        assert!(read.unwrap_err().contains("sends another part of blob"), "{range}");
        assert_eq!(server.lines().len(), 1, "{range}");
    }
}

#[test]
fn more_bytes_than_declared_are_an_error_at_once() {
    let content = bytes(100_000);
    let blob = layer(&content);
    let larger = bytes(100_001);
    let copy = larger.clone();
    let (_, announced) = read(&blob, 0, move |_, _| answer(200).body(copy.clone()));
    assert!(announced.unwrap_err().contains("sends 100001 bytes"));
    let (server, in_chunks) = read(&blob, 0, move |_, _| answer(200).chunked(&larger));
    assert!(in_chunks.unwrap_err().contains("sends more of blob"));
    assert_eq!(server.lines().len(), 1);
    let copy = content.clone();
    let (_, right) = read(&blob, 0, move |_, _| answer(200).chunked(&copy));
    assert!(right.unwrap() == content);
}

#[test]
fn one_connection_serves_many_requests() {
    let content = bytes(50_000);
    let blob = layer(&content);
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let copy = content.clone();
    let server = Server::start_with(
        move |_| answer(200).body(copy.clone()),
        move |stream| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(stream))
        },
    );
    let client = User::new().client();
    for _ in 0..5 {
        let mut content = Vec::new();
        client.repository(&server.authority, "a").blob(&blob, 0).unwrap().read_to_end(&mut content).unwrap();
    }
    // One to find out that there is no TLS, one for all the rest.
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[test]
fn mirrors_are_asked_first_and_forgiven_everything() {
    let content = bytes(100_000);
    let blob = layer(&content);
    let copy = content.clone();
    let broken = Server::start(|_| answer(500));
    let cut = Server::start(move |request| match request.seen.header("range") {
        None if request.seen.target.contains("blobs") => answer(200).short(100_000, &copy[..10_000]),
        None if request.seen.target.contains("manifests") => manifest(),
        _ => answer(404),
    });
    let user = User::new();
    let mut settings = user.settings();
    settings.registries.mirrors = vec![broken.authority.clone(), format!("http://{}/", cut.authority)];
    let copy = content.clone();
    let origin = Server::start(move |request| part(request, &copy));
    // docker.io itself is behind the proxy, where it is asked for over TLS, which the origin does not speak.
    let (proxy, asked) = crate::server::proxy(origin.authority.clone());
    settings.proxies = distribution::Proxies::new(Some(&proxy), None, "").unwrap();
    let client = Client::new(settings);
    let repository = client.repository("docker.io", "library/a");
    repository.manifest(&tag()).unwrap();
    assert!(broken.lines().iter().any(|line| line == "GET /v2/library/a/manifests/1"));
    assert!(cut.lines().contains(&"GET /v2/library/a/manifests/1".to_owned()));
    let mut reader = repository.blob(&blob, 0).unwrap();
    let mut read = Vec::new();
    assert!(reader.read_to_end(&mut read).is_err(), "the last of them speaks no TLS");
    assert!(read == content[..10_000]);
    assert_eq!(asked.recv().unwrap().target, "registry-1.docker.io:443");
}
