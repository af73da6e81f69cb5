//! Blobs, over connections that break, and from registries that send something else.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use distribution::{Client, Selector};
use image::manifest::Descriptor;

use crate::{
    User, bytes, layer,
    server::{Answer, Request, Server, answer, hang_up},
};

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
        None if request.seen.target.contains("manifests") => {
            answer(200).header("Content-Type", "a/b").body("{}")
        }
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
    repository.manifest(&Selector::Tag("1".into())).unwrap();
    assert!(broken.lines().iter().any(|line| line == "GET /v2/library/a/manifests/1"));
    assert!(cut.lines().contains(&"GET /v2/library/a/manifests/1".to_owned()));
    let mut reader = repository.blob(&blob, 0).unwrap();
    let mut read = Vec::new();
    assert!(reader.read_to_end(&mut read).is_err(), "the last of them speaks no TLS");
    assert!(read == content[..10_000]);
    assert_eq!(asked.recv().unwrap().target, "registry-1.docker.io:443");
}
