//! Files by their URLs.

use std::io::Read;

use distribution::{ClientError, Page, Web, header};

use crate::{
    User,
    server::{Server, answer},
};

fn web() -> Web {
    Web::new(&User::new().settings())
}

fn content(mut page: Page) -> Result<String, String> {
    let mut text = String::new();
    page.read_to_string(&mut text).map(|_| text).map_err(|error| error.to_string())
}

#[test]
fn an_answer_comes_with_its_headers_whatever_its_status() {
    let server = Server::start(|request| match request.seen.target.as_str() {
        "/a?b=%20" => answer(200).header("ETag", "\"1\"").body("hello"),
        _ => answer(410).body("gone"),
    });
    let page = web().get(&format!("http://{}/a?b=%20", server.authority), &[]).unwrap();
    assert!(page.is_success());
    assert_eq!((page.header("etag"), page.length), (Some("\"1\""), Some(5)));
    assert_eq!(content(page).unwrap(), "hello");
    let page = web().get(&format!("http://{}/", server.authority), &[]).unwrap();
    assert_eq!((page.status, page.is_success(), content(page).unwrap()), (410, false, "gone".into()));
}

#[test]
fn a_password_does_not_follow_a_redirection_to_another_host() {
    let elsewhere = Server::start(|_| answer(200).body("there"));
    let to = format!("http://{}/x", elsewhere.authority);
    let server = Server::start(move |request| match request.seen.target.as_str() {
        "/first" => answer(302).header("Location", "/second"),
        _ => answer(307).header("Location", &to),
    });
    let headers = [(header::AUTHORIZATION, "Basic bWU6c2VjcmV0"), (header::ACCEPT, "a/b")];
    let page = web().get(&format!("http://{}/first", server.authority), &headers).unwrap();
    assert_eq!(content(page).unwrap(), "there");
    assert_eq!(server.everything().matches("bWU6c2VjcmV0").count(), 2);
    assert!(!elsewhere.everything().contains("bWU6c2VjcmV0"), "{}", elsewhere.everything());
    assert!(elsewhere.everything().contains("a/b"));
}

#[test]
fn what_leads_nowhere_or_in_circles_is_an_error() {
    let server = Server::start(|request| match request.seen.target.as_str() {
        "/file" => answer(302).header("Location", "file:///etc/passwd"),
        _ => answer(302).header("Location", "/"),
    });
    let error = |path: &str| web().get(&format!("http://{}{path}", server.authority), &[]).unwrap_err();
    assert!(error("/file").to_string().ends_with("redirects to nowhere"));
    assert!(matches!(error("/"), ClientError::Redirects { limit: 10, .. }));
    for url in ["ftp://x/y", "nonsense", "http://["] {
        assert!(matches!(web().get(url, &[]), Err(ClientError::Protocol { .. })), "{url}");
    }
}

#[test]
fn a_body_that_breaks_off_is_no_shorter_file() {
    let server = Server::start(|_| answer(200).short(1000, b"half"));
    let page = web().get(&format!("http://{}/", server.authority), &[]).unwrap();
    assert!(content(page).unwrap_err().contains("broke off"));
    let server = Server::start(|_| answer(200).stalled(1000, b"half"));
    let page = web().get(&format!("http://{}/", server.authority), &[]).unwrap();
    assert!(content(page).unwrap_err().contains("has been silent"));
}
