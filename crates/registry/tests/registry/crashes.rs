//! What is left when the server is killed, and when it is asked to stop.

use std::{io::Write, time::Duration};

use serde_json::json;

use crate::support::{Server, content, finish, open, sha256};

#[test]
fn an_upload_goes_on_after_the_server_was_killed_in_the_middle_of_it() {
    let server = Server::start();
    let content = content(5_000_000);
    let location = server.begin("a");
    assert_eq!(server.ask("PATCH", &location, &[], &content[..2_000_000]).status, 202);
    let mut stream = open(server.address, "PATCH", &location, &[], Some(3_000_000));
    stream.write_all(&content[2_000_000..4_000_000]).unwrap();
    let data = server.root().join("uploads").join(location.rsplit('/').next().unwrap()).join("data");
    while std::fs::metadata(&data).unwrap().len() <= 2_000_000 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let directory = server.kill();
    let server = Server::in_directory(&directory.path().join("registry"), json!({}));
    let status = server.get(&location);
    assert_eq!(status.status, 204);
    let last: usize = status.header("range").unwrap().strip_prefix("0-").unwrap().parse().unwrap();
    assert!(last >= 2_000_000, "{last}");
    let rest = &content[last + 1..];
    let range = format!("{}-4999999", last + 1);
    assert_eq!(server.ask("PATCH", &location, &[("Content-Range", &range)], rest).status, 202);
    let digest = sha256(&content);
    assert_eq!(server.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").status, 201);
    assert!(server.get(&format!("/v2/a/blobs/{digest}")).body == content);
}

#[test]
fn two_servers_on_one_directory_go_on_with_each_others_uploads() {
    let one = Server::start();
    let two = Server::in_directory(&one.root(), json!({}));
    let location = one.begin("a");
    assert_eq!(one.ask("PATCH", &location, &[], b"hello").status, 202);
    assert_eq!(two.ask("PATCH", &location, &[("Content-Range", "5-11")], b", world").status, 202);
    let digest = sha256(b"hello, world");
    assert_eq!(one.ask("PUT", &format!("{location}?digest={digest}"), &[], b"").status, 201);
    assert_eq!(two.get(&format!("/v2/a/blobs/{digest}")).body, b"hello, world");
}

#[test]
fn asked_to_stop_it_finishes_what_it_has_begun_and_takes_nothing_new() {
    let mut server = Server::start();
    let location = server.begin("a");
    let mut stream = open(server.address, "PATCH", &location, &[], Some(10));
    stream.write_all(b"hello").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    server.terminate();
    while std::net::TcpStream::connect(server.address).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!server.has_ended());
    stream.write_all(b"world").unwrap();
    let reply = finish(stream);
    assert_eq!((reply.status, reply.header("range")), (202, Some("0-9")));
    for _ in 0..500 {
        if server.has_ended() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it still runs");
}
