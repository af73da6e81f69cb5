//! Where registries send us, and what does not come along.

use std::io::Read;

use distribution::{ClientError, Selector};

use crate::{
    BASIC, User, bytes, layer,
    server::{Server, answer},
};

/// A registry that wants a password, and sends whoever has it to `location`.
fn registry(location: String) -> Server {
    Server::start(move |request| match request.seen.header("authorization") {
        Some(BASIC) => answer(307).header("Location", &location),
        _ => answer(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    })
}

#[test]
fn a_blob_is_read_from_elsewhere_without_our_password() {
    let content = bytes(1000);
    let copy = content.clone();
    let elsewhere = Server::start(move |_| answer(200).body(copy.clone()));
    let registry = registry(format!("http://{}/signed?token=1", elsewhere.authority));
    let client = User::logged_in(&[&registry.authority, &elsewhere.authority]).client();
    let mut read = Vec::new();
    client
        .repository(&registry.authority, "a")
        .blob(&layer(&content), 0)
        .unwrap()
        .read_to_end(&mut read)
        .unwrap();
    assert!(read == content);
    assert_eq!(elsewhere.lines(), ["GET /signed?token=1"]);
    let everything = elsewhere.everything().to_lowercase();
    assert!(!everything.contains("authorization") && !everything.contains("bwu6c2vjcmv0"), "{everything}");
    assert!(registry.everything().contains(BASIC), "the registry itself got it");
}

#[test]
fn the_password_does_not_come_along_on_the_way_back_either() {
    let elsewhere = Server::start(|request| {
        let (_, home) = request.seen.target.split_once("home=").unwrap();
        answer(302).header("Location", format!("http://{home}/v2/trap"))
    });
    let other = elsewhere.authority.clone();
    let registry = Server::start(move |request| match request.seen.header("authorization") {
        _ if request.seen.target == "/v2/trap" => answer(200).body("{}").header("Content-Type", "a/b"),
        Some(BASIC) => {
            let home = request.seen.header("host").unwrap();
            answer(302).header("Location", format!("http://{other}/?home={home}"))
        }
        _ => answer(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let client = User::logged_in(&[&registry.authority]).client();
    client.repository(&registry.authority, "a").manifest(&Selector::Tag("1".into())).unwrap();
    let trap = registry.seen().into_iter().find(|seen| seen.target == "/v2/trap").unwrap();
    assert_eq!(trap.header("authorization"), None);
}

#[test]
fn who_a_registry_sends_us_to_cannot_ask_for_the_password() {
    let thief = Server::start(|request| match request.seen.target.starts_with("/token") {
        true => answer(200).json(r#"{"token":"t"}"#),
        false => {
            let host = request.seen.header("host").unwrap();
            answer(401).header("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
        }
    });
    let registry = registry(format!("http://{}/signed", thief.authority));
    let client = User::logged_in(&[&registry.authority]).client();
    let error = client.repository(&registry.authority, "a").manifest(&Selector::Tag("1".into())).unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized(_)), "{error}");
    assert_eq!(thief.lines(), ["GET /signed"]);
    assert!(!thief.everything().contains(BASIC));
}

#[test]
fn within_the_registry_the_password_comes_along() {
    let server = Server::start(|request| match request.seen.header("authorization") {
        Some(BASIC) if request.seen.target == "/elsewhere" => {
            answer(200).body("{}").header("Content-Type", "a/b")
        }
        Some(BASIC) => answer(301).header("Location", "/elsewhere"),
        _ => answer(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let client = User::logged_in(&[&server.authority]).client();
    client.repository(&server.authority, "a").manifest(&Selector::Tag("1".into())).unwrap();
}

#[test]
fn redirects_end_after_five() {
    let server = Server::start(|request| match request.seen.target.as_str() {
        "/v2/" => answer(200),
        _ => answer(302).header("Location", "/v2/round"),
    });
    let client = User::new().client();
    let error = client.repository(&server.authority, "a").manifest(&Selector::Tag("1".into())).unwrap_err();
    assert!(matches!(error, ClientError::Redirects { .. }), "{error}");
    assert_eq!(server.lines().len(), 6);
}

#[test]
fn a_redirect_to_nowhere_is_an_error() {
    for location in ["ftp://a/b", "http://me:secret@127.0.0.1/", "http://", "file:///etc/passwd"] {
        let server = Server::start(move |request| match request.seen.target.as_str() {
            "/v2/" => answer(200),
            _ => answer(302).header("Location", location),
        });
        let client = User::new().client();
        let error =
            client.repository(&server.authority, "a").manifest(&Selector::Tag("1".into())).unwrap_err();
        assert!(error.to_string().ends_with("redirects to nowhere"), "{location}: {error}");
    }
}
