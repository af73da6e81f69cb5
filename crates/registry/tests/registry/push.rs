//! Pushing blobs: at once, in a stream, in chunks, from another repository.

use std::io::{Read, Write};

use crate::support::{Server, content, finish, open, sha256};

#[test]
fn a_session_takes_a_stream_and_ends_with_a_digest() {
    let server = Server::start();
    let content = content(3_000_000);
    let location = server.begin("a");
    let mut stream = open(server.address, "PATCH", &location, &[], None);
    for piece in content.chunks(65_000) {
        stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
        stream.write_all(piece).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let reply = finish(stream);
    assert_eq!((reply.status, reply.header("range")), (202, Some("0-2999999")));
    let digest = sha256(&content);
    let reply = server.ask("PUT", &format!("{location}?digest={digest}"), &[], b"");
    assert_eq!((reply.status, reply.header("docker-content-digest")), (201, Some(digest.as_str())));
    assert!(server.get(reply.header("location").unwrap()).body == content);
    assert_eq!(server.get(&location).code(), "BLOB_UPLOAD_UNKNOWN");
}

#[test]
fn chunks_go_on_where_the_last_one_ended_and_nowhere_else() {
    let server = Server::start();
    let location = server.begin("a");
    let chunk = |range: &str, body: &[u8]| server.ask("PATCH", &location, &[("Content-Range", range)], body);
    assert_eq!(chunk("0-4", b"hello").status, 202);
    for (range, body) in [("0-4", b"hello".as_slice()), ("6-6", b"x"), ("nonsense", b"x")] {
        let reply = chunk(range, body);
        assert_eq!(reply.status, 416, "{range}: {reply:?}");
    }
    let reply = chunk("5-6", b"too long");
    assert_eq!((reply.status, reply.code().as_str()), (400, "SIZE_INVALID"));
    let status = server.get(&location);
    assert_eq!((status.status, status.header("range")), (204, Some("0-4")));
    let last = format!("{location}?digest={}", sha256(b"hello, world"));
    assert_eq!(server.ask("PUT", &last, &[("Content-Range", "5-11")], b", world").status, 201);
}

#[test]
fn more_bytes_than_declared_end_the_request_and_do_not_count() {
    let server = Server::start();
    let location = server.begin("a");
    let mut stream = open(server.address, "PATCH", &location, &[("Content-Range", "0-4")], None);
    stream.write_all(b"5\r\nhello\r\n4\r\nevil\r\n0\r\n\r\n").unwrap();
    let reply = finish(stream);
    assert_eq!((reply.status, reply.code().as_str()), (400, "SIZE_INVALID"));
    let last = format!("{location}?digest={}", sha256(b"hello"));
    assert_eq!(server.ask("PUT", &last, &[], b"").status, 201);
}

#[test]
fn content_with_another_digest_is_refused_and_leaves_nothing() {
    let server = Server::start();
    let wanted = sha256(b"good");
    let at_once = server.ask("POST", &format!("/v2/a/blobs/uploads/?digest={wanted}"), &[], b"evil");
    assert_eq!((at_once.status, at_once.code().as_str()), (400, "DIGEST_INVALID"));
    let location = server.begin("a");
    let put = server.ask("PUT", &format!("{location}?digest={wanted}"), &[], b"evil");
    assert_eq!((put.status, put.code().as_str()), (400, "DIGEST_INVALID"));
    for content in [b"good", b"evil"] {
        assert_eq!(server.head(&format!("/v2/a/blobs/{}", sha256(content))).status, 404);
    }
    assert_eq!(std::fs::read_dir(server.root().join("uploads")).unwrap().count(), 0);
}

#[test]
fn a_session_can_be_cancelled_and_belongs_to_its_repository() {
    let server = Server::start();
    let location = server.begin("a");
    let elsewhere = location.replace("/v2/a/", "/v2/b/");
    assert_eq!(server.get(&elsewhere).code(), "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(server.delete(&location).status, 204);
    assert_eq!(server.ask("PATCH", &location, &[], b"x").code(), "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(server.delete(&location).status, 404);
}

#[test]
fn a_blob_is_mounted_only_from_a_repository_that_has_it() {
    let server = Server::start();
    let digest = server.push_blob("a", b"shared");
    let mount = |from: &str| {
        server.ask("POST", &format!("/v2/c/blobs/uploads/?mount={digest}&from={from}"), &[], b"")
    };
    assert_eq!(mount("b").status, 202);
    assert_eq!(mount("..%2fa").status, 202);
    assert_eq!(server.head(&format!("/v2/c/blobs/{digest}")).status, 404);
    let mounted = mount("a");
    assert_eq!((mounted.status, mounted.header("docker-content-digest")), (201, Some(digest.as_str())));
    assert_eq!(server.get(&format!("/v2/c/blobs/{digest}")).body, b"shared");
}

#[test]
fn many_clients_push_the_same_blob_at_the_same_time() {
    let server = Server::start();
    let content = content(2_000_000);
    std::thread::scope(|scope| {
        for repository in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            let (server, content) = (&server, &content);
            scope.spawn(move || server.push_blob(repository, content));
        }
    });
    let digest = sha256(&content);
    for repository in ["a", "h"] {
        assert!(server.get(&format!("/v2/{repository}/blobs/{digest}")).body == content);
    }
}

#[test]
fn what_a_broken_request_brought_is_kept_to_the_last_byte() {
    let server = Server::start();
    let location = server.begin("a");
    let content = content(3_000_000);
    let mut broken =
        open(server.address, "PATCH", &location, &[("Expect", "100-continue")], Some(content.len()));
    let mut willing = [0; 25];
    broken.read_exact(&mut willing).unwrap();
    assert_eq!(&willing, b"HTTP/1.1 100 Continue\r\n\r\n", "it has the turn");
    broken.write_all(&content[..2_000_001]).unwrap();
    drop(broken);
    // At once: most of it waits in the kernel, and the server does not know yet that there will be no more.
    assert_eq!(server.get(&location).header("range"), Some("0-2000000"));
    let last = format!("{location}?digest={}", sha256(&content));
    let reply = server.ask("PUT", &last, &[("Content-Range", "2000001-2999999")], &content[2_000_001..]);
    assert_eq!(reply.status, 201, "{reply:?}");
}

#[test]
fn the_newest_request_takes_over_from_one_that_was_left_behind() {
    let server = Server::start();
    let location = server.begin("a");
    // A connection that is dead, though the server cannot know.
    let mut stuck = open(server.address, "PATCH", &location, &[], Some(1000));
    stuck.write_all(b"hello").unwrap();
    // Time for the five bytes to arrive; the request itself does not end for a minute.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(server.get(&location).header("range"), Some("0-4"));
    let reply = server.ask("PATCH", &location, &[("Content-Range", "5-11")], b", world");
    assert_eq!((reply.status, reply.header("range")), (202, Some("0-11")), "{reply:?}");
    let last = format!("{location}?digest={}", sha256(b"hello, world"));
    assert_eq!(server.ask("PUT", &last, &[], b"").status, 201);
    drop(stuck);
}
