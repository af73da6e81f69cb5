//! Logging in: passwords, tokens, and who is shown them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use distribution::{ClientError, Credentials, Selector, credentials::Secret};

use crate::{
    BASIC, User,
    server::{Answer, Request, Server, answer},
};

fn tag() -> Selector {
    Selector::Tag("1".to_owned())
}

fn manifest() -> Answer {
    answer(200).header("Content-Type", "a/b").body("{}")
}

fn me() -> Credentials {
    Credentials::Password { user: "me".to_owned(), secret: Secret::new("secret") }
}

/// A registry that takes `Bearer <token>` where `is_good`, and gives tokens itself, numbered, to whom `grants` says.
fn with_tokens(
    is_good: impl Fn(usize) -> bool + Send + Sync + 'static,
    grants: impl Fn(&mut Request<'_>) -> bool + Send + Sync + 'static,
    lifetime: u32,
) -> Server {
    let given = AtomicUsize::new(0);
    Server::start(move |request| {
        let host = request.seen.header("host").unwrap().to_owned();
        if request.seen.target.starts_with("/token") {
            return match grants(request) {
                true => {
                    let token = given.fetch_add(1, Ordering::Relaxed);
                    answer(200).json(&format!(r#"{{"token":"{token}","expires_in":{lifetime}}}"#))
                }
                false => answer(401).json(r#"{"details":"incorrect username or password"}"#),
            };
        }
        let shown =
            request.seen.header("authorization").and_then(|text| text.strip_prefix("Bearer ")?.parse().ok());
        match shown {
            Some(token) if is_good(token) => manifest(),
            _ => answer(401).header(
                "WWW-Authenticate",
                format!(
                    r#"Bearer realm="http://{host}/token",service="the service",scope="repository:a:pull""#
                ),
            ),
        }
    })
}

fn tokens_asked(server: &Server) -> Vec<String> {
    server.lines().into_iter().filter(|line| line.contains("/token")).collect()
}

#[test]
fn a_password_is_shown_once_it_is_asked_for() {
    let server = Server::start(|request| match request.seen.header("authorization") {
        Some(BASIC) => manifest(),
        _ => answer(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    });
    let client = User::logged_in(&[&server.authority]).client();
    for _ in 0..2 {
        client.repository(&server.authority, "a").manifest(&tag()).unwrap();
    }
    assert_eq!(server.lines().len(), 2, "the challenge is remembered");
}

#[test]
fn nobody_is_shown_somebody_elses_password() {
    let server = Server::start(|_| answer(401).header("WWW-Authenticate", "Basic realm=\"x\""));
    let client = User::logged_in(&["other.example", "127.0.0.1"]).client();
    let error = client.repository(&server.authority, "a").manifest(&tag()).unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized(_)), "{error}");
    assert!(!server.everything().contains("authorization"));
}

#[test]
fn a_token_is_asked_for_once_and_shared() {
    let server = with_tokens(|_| true, |_| true, 300);
    let client = User::new().client();
    client.repository(&server.authority, "a").manifest(&tag()).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| client.repository(&server.authority, "a").manifest(&tag()).unwrap());
        }
    });
    assert_eq!(tokens_asked(&server), ["GET /token?service=the%20service&scope=repository%3Aa%3Apull"]);
    client.repository(&server.authority, "b").manifest(&tag()).unwrap();
    assert!(
        tokens_asked(&server)[1].contains("scope=repository%3Ab%3Apull"),
        "another repository, another token"
    );
}

#[test]
fn threads_that_begin_together_all_get_in() {
    let server = with_tokens(|_| true, |_| true, 300);
    let client = User::new().client();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| client.repository(&server.authority, "a").manifest(&tag()).unwrap());
        }
    });
    assert_eq!(tokens_asked(&server).len(), 1);
}

#[test]
fn a_token_that_is_over_is_replaced_once() {
    let server = with_tokens(|token| token == 1, |_| true, 300);
    let client = User::new().client();
    let error = client.repository(&server.authority, "a").manifest(&tag()).unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized(_)), "a new token that is refused is the end");
    client.repository(&server.authority, "a").manifest(&tag()).unwrap();
    assert_eq!(tokens_asked(&server).len(), 2);

    // The registry forgets the first one while it is still valid for all we know.
    let uses = Arc::new(AtomicUsize::new(0));
    let server =
        with_tokens(move |token| token > 0 || uses.fetch_add(1, Ordering::Relaxed) == 0, |_| true, 300);
    for _ in 0..3 {
        client.repository(&server.authority, "a").manifest(&tag()).unwrap();
    }
    assert_eq!(tokens_asked(&server).len(), 2);
}

#[test]
fn a_token_that_says_when_it_ends_is_not_used_after_that() {
    let server = with_tokens(|_| true, |_| true, 0);
    let client = User::new().client();
    for _ in 0..3 {
        client.repository(&server.authority, "a").manifest(&tag()).unwrap();
    }
    assert_eq!(tokens_asked(&server).len(), 3);
}

#[test]
fn the_token_server_is_shown_the_password_and_the_registry_is_not() {
    let server = with_tokens(|_| true, |request| request.seen.header("authorization") == Some(BASIC), 300);
    let client = User::logged_in(&[&server.authority]).client();
    client.repository(&server.authority, "a").manifest(&tag()).unwrap();
    assert!(tokens_asked(&server)[0].contains("account=me"));
    for seen in server.seen().iter().filter(|seen| !seen.target.starts_with("/token")) {
        assert_ne!(seen.header("authorization"), Some(BASIC));
    }
    let wrong = with_tokens(|_| true, |_| false, 300);
    let error =
        User::logged_in(&[&wrong.authority]).client().repository(&wrong.authority, "a").manifest(&tag());
    assert_eq!(error.unwrap_err().to_string(), "unauthorized: incorrect username or password");
}

#[test]
fn a_realm_elsewhere_is_not_shown_a_password_over_plain_http() {
    let realm = "http://tokens.example/token";
    let server =
        Server::start(move |_| answer(401).header("WWW-Authenticate", format!("Bearer realm=\"{realm}\"")));
    let client = User::logged_in(&[&server.authority]).client();
    let error = client.repository(&server.authority, "a").manifest(&tag()).unwrap_err().to_string();
    assert!(
        error.ends_with("wants our password at tokens.example, over a connection that is not secure"),
        "{error}"
    );
    assert!(!error.contains("secret"));
}

#[test]
fn an_identity_token_is_exchanged_by_post() {
    let server = Server::start(|request| {
        let host = request.seen.header("host").unwrap().to_owned();
        if request.is("POST", "/token") {
            let form = String::from_utf8(request.body()).unwrap();
            assert_eq!(request.seen.header("content-type"), Some("application/x-www-form-urlencoded"));
            assert!(form.contains("grant_type=refresh_token"), "{form}");
            assert!(form.contains("&refresh_token=the%20identity") && form.contains("service=s"), "{form}");
            assert!(form.contains("scope=repository%3Aa%3Apull"), "{form}");
            return answer(200).json(r#"{"access_token":"good"}"#);
        }
        match request.seen.header("authorization") {
            Some("Bearer good") => manifest(),
            _ => answer(401)
                .header("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\",service=\"s\"")),
        }
    });
    let config =
        format!(r#"{{"auths":{{"{}":{{"auth":"bWU6","identitytoken":"the identity"}}}}}}"#, server.authority);
    User::configured(&config).client().repository(&server.authority, "a").manifest(&tag()).unwrap();
}

#[test]
fn logging_in_tries_the_password_and_returns_what_to_keep_instead() {
    let server = Server::start(|request| {
        let host = request.seen.header("host").unwrap().to_owned();
        let authorization = request.seen.header("authorization").map(str::to_owned);
        if request.seen.target.starts_with("/token") {
            return match (authorization.as_deref(), request.seen.query("offline_token")) {
                (Some(BASIC), Some("true")) => answer(200).json(r#"{"token":"t","refresh_token":"keep me"}"#),
                (Some(BASIC), None) => answer(200).json(r#"{"token":"t"}"#),
                _ => answer(401),
            };
        }
        match authorization.as_deref() {
            Some("Bearer t") => answer(200),
            _ => answer(401).header("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\"")),
        }
    });
    let user = User::new();
    assert_eq!(user.client().login(&server.authority, &me()).unwrap().as_deref(), Some("keep me"));
    let wrong = Credentials::Password { user: "me".to_owned(), secret: Secret::new("wrong") };
    let error = user.client().login(&server.authority, &wrong).unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized(_)), "{error}");

    let basic = Server::start(|request| match request.seen.header("authorization") {
        Some(BASIC) => answer(200),
        _ => answer(401).header("WWW-Authenticate", "Basic realm=\"x\""),
    });
    assert_eq!(user.client().login(&basic.authority, &me()).unwrap(), None);
    assert!(user.client().login(&basic.authority, &wrong).is_err());
    let open = Server::start(|_| answer(200));
    assert_eq!(user.client().login(&open.authority, &me()).unwrap(), None);
    assert!(!open.everything().contains("authorization"), "nobody asked");
}

#[test]
fn a_question_for_a_token_that_fits_no_url_is_an_error() {
    let server = Server::start(|request| {
        let host = request.seen.header("host").unwrap().to_owned();
        let service = "%".repeat(30_000);
        answer(401)
            .header("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\",service=\"{service}\""))
    });
    for user in [User::new(), User::logged_in(&[&server.authority])] {
        let error = user.client().repository(&server.authority, "a").manifest(&tag()).unwrap_err();
        assert!(error.to_string().ends_with("gives no usable token"), "{error}");
    }
}

#[test]
fn an_endless_token_is_refused() {
    let server = Server::start(|request| {
        let host = request.seen.header("host").unwrap().to_owned();
        match request.seen.target.starts_with("/token") {
            true => answer(200).endless(vec![b'x'; 10_000]),
            false => answer(401).header("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\"")),
        }
    });
    let error = User::new().client().repository(&server.authority, "a").manifest(&tag()).unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { what: "a token", .. }), "{error}");
}

#[test]
fn nothing_shows_a_secret() {
    let user = User::logged_in(&["a.example"]);
    let shown = format!("{:?} {:?} {:?}", me(), *user.client(), user.settings());
    assert!(!shown.contains("\"secret\"") && !shown.contains("bWU6"), "{shown}");
}
