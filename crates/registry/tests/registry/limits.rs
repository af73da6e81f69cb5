//! Clients that want too much, or take too long.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{Server, finish, open};

#[test]
fn a_client_that_sends_nothing_is_let_go() {
    let server = Server::told(json!({"patience": 0.5}));
    let began = Instant::now();
    // A head that never ends.
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n").unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = slow.read_to_end(&mut Vec::new());
    // A body that never comes.
    let location = server.begin("a");
    let reply = finish(open(server.address, "PATCH", &location, &[], Some(10)));
    assert_eq!(reply.status, 408);
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = Server::start();
    let value = "x".repeat(100_000);
    let mut stream = TcpStream::connect(server.address).unwrap();
    let _ = stream.write_all(
        format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {value}\r\n\r\n").as_bytes(),
    );
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(server.get("/v2/").status, 200);
}

#[test]
fn uploads_are_bounded_but_those_nobody_goes_on_with_make_room() {
    let server = Server::told(json!({"uploads": 3, "patience": 1}));
    let begin = || server.ask("POST", "/v2/a/blobs/uploads/", &[], b"");
    for _ in 0..3 {
        assert_eq!(begin().status, 202);
    }
    let refused = begin();
    assert_eq!((refused.status, refused.code().as_str()), (429, "TOOMANYREQUESTS"));
    assert!(refused.header("retry-after").is_some());
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(begin().status, 202);
}

#[test]
fn the_operator_sees_counters_and_health_and_browsers_see_nothing() {
    let server = Server::start();
    server.push_blob("a", b"x");
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        crate::support::ask(server.operator, method, path, headers, b"")
    };
    let metrics = String::from_utf8(ask("GET", "/metrics", &[]).body).unwrap();
    let counted = r#"registry_requests_total{method="POST",route="uploads",status="201"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert_eq!(ask("POST", "/_sampan/gc", &[("Origin", "https://evil")]).status, 403);
    assert_eq!(ask("GET", "/_sampan/gc", &[]).status, 405);
    for path in ["/healthz", "/readyz"] {
        assert_eq!((ask("GET", path, &[]).status, server.get(path).status), (200, 200));
    }
    assert_eq!(server.get("/metrics").status, 404);
}

#[test]
fn a_client_that_is_refused_while_it_sends_reads_why() {
    let server = Server::start();
    let location = server.begin("a");
    let body = vec![0; 8_000_000];
    let range = [("Content-Range", "5-8000004")];
    let mut stream = open(server.address, "PATCH", &location, &range, Some(body.len()));
    stream.write_all(&body).unwrap();
    assert_eq!(finish(stream).status, 416);
}
