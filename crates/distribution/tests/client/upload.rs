//! Uploads, and what comes between.

use std::{
    io::{self, Read},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use distribution::{Client, ClientError, Mounted, Selector};
use image::manifest::OCI_MANIFEST;
use types::Digest;

use crate::{
    User, bytes, layer,
    server::{Answer, Request, Server, answer, hang_up},
};

/// A registry that takes uploads as the specification says, and the state of the only one.
#[derive(Clone, Default)]
struct Registry {
    arrived: Arc<Mutex<Vec<u8>>>,
    is_complete: Arc<Mutex<bool>>,
    requests: Arc<AtomicUsize>,
}

impl Registry {
    fn answer(&self, request: &mut Request<'_>) -> Answer {
        let place = "/v2/a/blobs/uploads/7?state=x";
        let mut arrived = self.arrived.lock().unwrap();
        match request.seen.method.as_str() {
            "POST" => {
                arrived.clear();
                answer(202).header("Location", place)
            }
            "PATCH" => {
                self.requests.fetch_add(1, Ordering::Relaxed);
                if let Some(range) = request.seen.header("content-range") {
                    let (from, to) = range.split_once('-').unwrap();
                    if from.parse() != Ok(arrived.len()) {
                        return answer(416).header("Location", place);
                    }
                    let length: usize = request.seen.header("content-length").unwrap().parse().unwrap();
                    assert_eq!(to.parse(), Ok(arrived.len() + length - 1));
                }
                assert_eq!(request.seen.header("content-type"), Some("application/octet-stream"));
                arrived.extend(request.body());
                answer(202).header("Location", place).header("Range", format!("0-{}", arrived.len() - 1))
            }
            "GET" => {
                let last = arrived.len().saturating_sub(1);
                answer(204).header("Location", place).header("Range", format!("0-{last}"))
            }
            "PUT" => {
                arrived.extend(request.body());
                let digest = Digest::of(&arrived);
                let asked = request.seen.query("digest").unwrap().replace("%3A", ":");
                match asked == digest.to_string() {
                    true => {
                        *self.is_complete.lock().unwrap() = true;
                        answer(201).header("Docker-Content-Digest", digest)
                    }
                    false => answer(400).json(r#"{"errors":[{"code":"DIGEST_INVALID","message":"digest"}]}"#),
                }
            }
            "HEAD" if *self.is_complete.lock().unwrap() => {
                answer(200).header("Content-Length", arrived.len())
            }
            _ => answer(404),
        }
    }
}

/// Uploads `content`; returns how far it got in the end.
fn upload(client: &Client, server: &Server, content: &[u8]) -> Result<u64, ClientError> {
    let sent = AtomicU64::new(0);
    let open =
        |offset: u64| -> io::Result<Box<dyn Read + Send + '_>> { Ok(Box::new(&content[offset as usize..])) };
    let watch = |at| sent.store(at, Ordering::Relaxed);
    client.repository(&server.authority, "a").upload_blob(&layer(content), &open, &watch)?;
    Ok(sent.into_inner())
}

fn methods(server: &Server) -> Vec<String> {
    server.seen().into_iter().map(|seen| seen.method).collect()
}

#[test]
fn a_small_blob_takes_two_requests_and_a_large_one_three() {
    for (length, expected) in
        [(0, vec!["POST", "PUT"]), (1000, vec!["POST", "PUT"]), (5 << 20, vec!["POST", "PATCH", "PUT"])]
    {
        let registry = Registry::default();
        let state = registry.clone();
        let server = Server::start(move |request| registry.answer(request));
        let content = bytes(length);
        assert_eq!(upload(&User::new().client(), &server, &content).unwrap(), length as u64);
        assert_eq!(methods(&server), expected);
        assert!(*state.arrived.lock().unwrap() == content);
        let put = server.seen().pop().unwrap();
        assert!(put.target.starts_with("/v2/a/blobs/uploads/7?state=x&digest=sha256"), "{}", put.target);
    }
}

#[test]
fn a_registry_that_forgets_all_it_is_sent_is_not_sent_it_for_ever() {
    let server = Server::start(|_| answer(202).header("Location", "/v2/a/uploads/7").header("Range", "0-0"));
    let error = upload(&User::new().client(), &server, &bytes(2 << 20)).unwrap_err();
    assert!(error.to_string().ends_with("takes a part of a blob, and then does not have it"), "{error}");
    assert_eq!(methods(&server).iter().filter(|method| *method == "PATCH").count(), 5);
}

#[test]
fn a_broken_upload_goes_on_from_what_has_arrived() {
    let registry = Registry::default();
    let state = registry.clone();
    let server = Server::start(move |request| {
        if request.seen.method == "PATCH" && registry.requests.fetch_add(1, Ordering::Relaxed) == 0 {
            let begun = request.begin_body(2_000_000);
            registry.arrived.lock().unwrap().extend(begun);
            return hang_up();
        }
        registry.answer(request)
    });
    let content = bytes(5 << 20);
    assert_eq!(upload(&User::new().client(), &server, &content).unwrap(), 5 << 20);
    assert!(*state.arrived.lock().unwrap() == content);
    let expected = ["POST", "PATCH", "GET", "PATCH", "PATCH", "PATCH", "PUT"];
    assert_eq!(methods(&server)[..4], expected[..4], "{:?}", methods(&server));
    let second = &server.seen()[3];
    assert!(second.header("content-range").unwrap().starts_with("2000000-"), "{second:?}");
}

#[test]
fn a_registry_that_forgets_what_a_broken_request_brought_is_given_less_at_a_time() {
    let registry = Registry::default();
    let state = registry.clone();
    let server = Server::start(move |request| {
        let length: usize = request.seen.header("content-length").map_or(0, |length| length.parse().unwrap());
        match request.seen.method.as_str() {
            // Nothing larger comes through.
            "PATCH" if length > 3 << 20 => hang_up(),
            _ => registry.answer(request),
        }
    });
    let content = bytes(20 << 20);
    upload(&User::new().client(), &server, &content).unwrap();
    assert!(*state.arrived.lock().unwrap() == content);
}

#[test]
fn a_session_that_is_gone_is_opened_again() {
    let registry = Registry::default();
    let state = registry.clone();
    let server = Server::start(move |request| {
        let nth = registry.requests.load(Ordering::Relaxed);
        match request.seen.method.as_str() {
            "PATCH" if nth == 0 => {
                registry.requests.fetch_add(1, Ordering::Relaxed);
                hang_up()
            }
            "GET" if nth == 1 => answer(404).json(r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#),
            _ => registry.answer(request),
        }
    });
    let content = bytes(3 << 20);
    upload(&User::new().client(), &server, &content).unwrap();
    assert!(*state.arrived.lock().unwrap() == content);
    assert_eq!(methods(&server)[..4], ["POST", "PATCH", "GET", "POST"]);
}

#[test]
fn a_registry_that_forgets_everything_again_and_again_is_left_alone() {
    let registry = Registry::default();
    let server = Server::start(move |request| {
        let has = registry.arrived.lock().unwrap().len();
        match request.seen.method.as_str() {
            // What docker's registry does when a connection breaks off: the session is no good any more.
            "PATCH" if has >= 2 << 20 || request.seen.header("content-range").is_none() => hang_up(),
            "GET" => answer(404).json(r#"{"errors":[{"code":"BLOB_UPLOAD_INVALID"}]}"#),
            _ => registry.answer(request),
        }
    });
    let error = upload(&User::new().client(), &server, &bytes(8 << 20)).unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error}");
    assert!(
        methods(&server).iter().filter(|method| *method == "POST").count() <= 10,
        "{:?}",
        methods(&server)
    );
}

#[test]
fn a_registry_that_refuses_chunks_gets_one_put() {
    for status in [400, 404, 405, 416, 501] {
        let registry = Registry::default();
        let state = registry.clone();
        let server = Server::start(move |request| match request.seen.method.as_str() {
            "PATCH" => answer(status),
            _ => registry.answer(request),
        });
        let content = bytes(3 << 20);
        upload(&User::new().client(), &server, &content).unwrap();
        assert!(*state.arrived.lock().unwrap() == content);
        assert_eq!(methods(&server).last().map(String::as_str), Some("PUT"), "{status}");
    }
}

#[test]
fn an_answer_that_got_lost_is_not_a_lost_blob() {
    let registry = Registry::default();
    let server = Server::start(move |request| {
        let answer = registry.answer(request);
        if request.seen.method == "PUT" { hang_up() } else { answer }
    });
    upload(&User::new().client(), &server, &bytes(3 << 20)).unwrap();
    upload(&User::new().client(), &server, &bytes(1000)).unwrap();
}

#[test]
fn a_place_elsewhere_is_not_shown_our_password() {
    let elsewhere = Registry::default();
    let storage = {
        let elsewhere = elsewhere.clone();
        Server::start(move |request| {
            let answer = elsewhere.answer(request);
            match request.seen.method.as_str() {
                "PATCH" => answer.header("Range", "0-3145727"),
                _ => answer,
            }
        })
    };
    let place = format!("http://{}/v2/a/blobs/uploads/7?signed", storage.authority);
    let server = Server::start(move |request| match request.seen.header("authorization") {
        Some(_) => answer(202).header("Location", &place),
        None => answer(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let client = User::logged_in(&[&server.authority, &storage.authority]).client();
    upload(&client, &server, &bytes(3 << 20)).unwrap();
    assert_eq!(methods(&storage), ["PATCH", "PUT"]);
    assert!(!storage.everything().contains("authorization"));
}

#[test]
fn a_source_that_fails_is_not_the_registrys_fault() {
    let registry = Registry::default();
    let server = Server::start(move |request| registry.answer(request));
    let client = User::new().client();
    let content = bytes(3 << 20);
    let repository = client.repository(&server.authority, "a");
    let short = |_: u64| -> io::Result<Box<dyn Read + Send + '_>> { Ok(Box::new(&content[..1000])) };
    let error = repository.upload_blob(&layer(&content), &short, &|_| {}).unwrap_err();
    assert!(matches!(error, ClientError::Source(_)), "{error}");
    let missing = |_: u64| -> io::Result<Box<dyn Read + Send>> { Err(io::ErrorKind::NotFound.into()) };
    let error = repository.upload_blob(&layer(&content), &missing, &|_| {}).unwrap_err();
    assert!(matches!(error, ClientError::Source(_)), "{error}");
    assert_eq!(methods(&server).iter().filter(|method| *method == "PATCH").count(), 1, "and not tried again");
}

#[test]
fn a_registry_that_gets_something_else_says_so() {
    let registry = Registry::default();
    let server = Server::start(move |request| registry.answer(request));
    let client = User::new().client();
    let (content, other) = (bytes(3 << 20), vec![7; 3 << 20]);
    let open =
        |offset: u64| -> io::Result<Box<dyn Read + Send + '_>> { Ok(Box::new(&other[offset as usize..])) };
    let error =
        client.repository(&server.authority, "a").upload_blob(&layer(&content), &open, &|_| {}).unwrap_err();
    assert!(error.to_string().ends_with("digest invalid: digest"), "{error}");
}

#[test]
fn the_smallest_chunk_is_the_registrys_choice() {
    let registry = Registry::default();
    let server = Server::start(move |request| {
        if request.seen.method == "PATCH" && registry.requests.fetch_add(1, Ordering::Relaxed) == 0 {
            return hang_up();
        }
        match request.seen.method.as_str() {
            "POST" => registry.answer(request).header("OCI-Chunk-Min-Length", 7_000_000),
            _ => registry.answer(request),
        }
    });
    upload(&User::new().client(), &server, &bytes(16_000_000)).unwrap();
    let ranges: Vec<_> =
        server.seen().iter().filter_map(|seen| seen.header("content-range").map(str::to_owned)).collect();
    assert_eq!(ranges, ["0-6999999", "7000000-13999999", "14000000-15999999"]);
}

#[test]
fn a_mount_is_accepted_or_goes_on_as_an_upload() {
    let content = bytes(1000);
    let digest = Digest::of(&content);
    let client = User::new().client();
    let accepting = Server::start(|_| answer(201));
    let mounted = client.repository(&accepting.authority, "a").mount_blob(&digest, "b/c").unwrap();
    assert!(matches!(mounted, Mounted::Yes));
    assert_eq!(
        accepting.lines(),
        [format!("POST /v2/a/blobs/uploads/?mount=sha256%3A{}&from=b%2Fc", digest.hex())]
    );

    let registry = Registry::default();
    let declining = Server::start(move |request| registry.answer(request));
    let repository = client.repository(&declining.authority, "a");
    let Mounted::No(session) = repository.mount_blob(&digest, "b/c").unwrap() else { panic!("mounted") };
    let open = |_: u64| -> io::Result<Box<dyn Read + Send + '_>> { Ok(Box::new(&content[..])) };
    repository.continue_upload(session, &layer(&content), &open, &|_| {}).unwrap();
    assert_eq!(methods(&declining), ["POST", "PUT"]);
}

#[test]
fn a_mount_needs_the_scopes_of_both_repositories() {
    let server = Server::start(|request| {
        let host = request.seen.header("host").unwrap().to_owned();
        match request.seen.header("authorization") {
            _ if request.seen.target.starts_with("/token") => answer(200).json(r#"{"token":"t"}"#),
            Some("Bearer t") => answer(201),
            _ => answer(401).header("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\"")),
        }
    });
    User::new().client().repository(&server.authority, "a").mount_blob(&Digest::of(b""), "b").unwrap();
    let asked = server.lines().into_iter().find(|line| line.contains("/token")).unwrap();
    assert_eq!(asked, "GET /token?scope=repository%3Aa%3Apull%2Cpush&scope=repository%3Ab%3Apull");
}

#[test]
fn a_manifest_is_put_byte_by_byte() {
    let digest = Digest::of(b"{ }");
    let server = Server::start(move |request| {
        assert_eq!(request.body(), b"{ }".repeat(usize::from(request.seen.method == "PUT")));
        answer(201).header("Docker-Content-Digest", digest)
    });
    let client = User::new().client();
    let repository = client.repository(&server.authority, "a");
    assert_eq!(repository.put_manifest(&Selector::Tag("1".into()), OCI_MANIFEST, b"{ }").unwrap(), digest);
    assert_eq!(server.lines(), ["PUT /v2/a/manifests/1"]);
    assert_eq!(server.seen()[0].header("content-type"), Some(OCI_MANIFEST));
    let liar = Server::start(|_| answer(201).header("Docker-Content-Digest", Digest::of(b"other")));
    let lie = client.repository(&liar.authority, "a").put_manifest(
        &Selector::Tag("1".into()),
        OCI_MANIFEST,
        b"{ }",
    );
    assert!(matches!(lie.unwrap_err(), ClientError::Damaged { .. }));
}
