//! Against servers on the loopback that answer as a test says.

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::*;

/// A server of one connection at a time, and a cache.
struct Place {
    directory: tempfile::TempDir,
    authority: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Place {
    /// Whoever connects is answered by `answer`, which is given the request's head and writes all of the answer.
    fn new(answer: impl Fn(&str, &str) -> String + Send + 'static) -> Place {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let authority = listener.local_addr().expect("bound").to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let head = head(&stream);
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                heads.lock().expect("nobody panics").push(head.to_lowercase());
                // A client may hang up whenever it likes.
                (&stream).write_all(answer(&path, &head).as_bytes()).ok();
            }
        });
        Place { directory: tempfile::tempdir().expect("temporary directory"), authority, seen }
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}{path}", self.authority)).expect("a URL")
    }

    fn get(&self, path: &str, checksum: Option<Digest>) -> Result<(String, Option<i64>), String> {
        self.get_url(&self.url(path), checksum)
    }

    fn get_url(&self, url: &Url, checksum: Option<Digest>) -> Result<(String, Option<i64>), String> {
        let cache = Cache::new(self.directory.path().to_owned());
        let mut download = Downloads::default()
            .get(url, checksum.as_ref(), &cache)
            .map_err(|error| error.to_string().replace(&self.authority, "HOST"))?;
        let mut text = String::new();
        download.file.read_to_string(&mut text).expect("readable");
        assert_eq!(download.digest, Digest::of(text.as_bytes()));
        Ok((text, download.modified))
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().expect("nobody panics").clone()
    }
}

fn head(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|length| length > 2) {}
    head
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let place = Place::new(|path, head| match path {
        "/tagged" if head.to_lowercase().contains("if-none-match: \"1\"") => answer(304, "", ""),
        "/tagged" => answer(200, "ETag: \"1\"\r\n", "tagged"),
        "/deaf" => answer(200, "ETag: W/\"2\"\r\n", "deaf"),
        "/dated" if head.to_lowercase().contains("if-modified-since: wed, 21 oct") => answer(304, "", ""),
        "/dated" => answer(200, "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n", "dated"),
        _ => answer(200, "", "plain"),
    });
    for (path, time) in
        [("/tagged", None), ("/deaf", None), ("/dated", Some(1_445_412_480)), ("/plain", None)]
    {
        for _ in 0..2 {
            assert_eq!(place.get(path, None), Ok((path[1..].to_owned(), time)), "{path}");
        }
    }
    let asked = |what: &str| place.requests().iter().filter(|head| head.contains(what)).count();
    assert_eq!((asked("get "), asked("if-none-match"), asked("if-modified-since")), (8, 2, 1));
}

#[test]
fn a_checksum_is_kept_to_and_what_has_it_is_not_asked_for_again() {
    let place = Place::new(|_, _| answer(200, "", "content"));
    let (right, wrong) = (Digest::of(b"content"), Digest::of(b"other"));
    let mismatch = format!("digest mismatch {right}: {wrong}");
    assert_eq!(place.get("/a", Some(wrong)), Err(mismatch));
    assert_eq!(place.get("/a", Some(right)), Ok(("content".into(), None)));
    assert_eq!(place.get("/a", Some(right)), Ok(("content".into(), None)));
    assert_eq!(place.requests().len(), 1);
}

#[test]
fn a_new_content_takes_the_place_of_the_old_one() {
    let count = Mutex::new(0);
    let place = Place::new(move |_, _| {
        *count.lock().expect("nobody panics") += 1;
        answer(200, "", &format!("{}", count.lock().expect("nobody panics")))
    });
    assert_eq!(place.get("/a", None).map(|(text, _)| text), Ok("1".into()));
    assert_eq!(place.get("/a", None).map(|(text, _)| text), Ok("2".into()));
    let entry = fs::read_dir(place.directory.path().join("downloads")).expect("downloads").next();
    let entry = entry.expect("an entry").expect("readable").path();
    let mut names: Vec<_> = fs::read_dir(&entry)
        .expect("an entry")
        .map(|file| file.expect("readable").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(names, ["about", &Digest::of(b"2").hex(), "state.json"].map(str::to_owned));
    fs::write(entry.join(Digest::of(b"2").hex()), "damaged").expect("written");
    assert_eq!(place.get("/a", Some(Digest::of(b"3"))).map(|(text, _)| text), Ok("3".into()));
}

#[test]
fn a_download_that_breaks_off_begins_again_and_is_given_up_in_the_end() {
    let count = Mutex::new(0);
    let place = Place::new(move |path, _| {
        let mut count = count.lock().expect("nobody panics");
        *count += 1;
        match (path, *count) {
            ("/flaky", 3) => answer(200, "", "whole"),
            _ => "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 100\r\n\r\nhalf".into(),
        }
    });
    assert_eq!(place.get("/flaky", None), Ok(("whole".into(), None)));
    let error = place.get("/never", None).expect_err("broken");
    assert!(error.contains("broke off"), "{error}");
    assert_eq!(place.requests().len(), 6);
    let left = fs::read_dir(place.directory.path().join("downloads")).expect("downloads");
    let partial =
        left.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().join("partial").exists()));
    assert_eq!(partial.count(), 0);
}

#[test]
fn refusals_and_servers_that_are_not_there_are_named() {
    let place = Place::new(|path, _| match path {
        "/moved" => answer(302, "Location: /gone\r\n", ""),
        _ => answer(404, "Content-Type: text/html\r\n", "<html>"),
    });
    assert_eq!(place.get("/gone", None), Err("invalid response status 404".into()));
    assert_eq!(place.get("/moved", None), Err("invalid response status 404".into()));
    let nobody = Url::parse("http://127.0.0.1:1/a").expect("a URL");
    let error = place.get_url(&nobody, None).expect_err("nobody listens");
    assert!(error.starts_with("cannot reach 127.0.0.1:1"), "{error}");
}

#[test]
fn a_password_is_shown_to_the_server_and_kept_out_of_what_is_said_and_kept() {
    let place = Place::new(|_, head| match head.contains("Basic bWU6c2VjcmV0") {
        true => answer(200, "", "for me"),
        false => answer(401, "", ""),
    });
    let with = |login: &str| Url { credentials: Some(login.into()), ..place.url("/a") };
    assert_eq!(place.get_url(&with("me:secret"), None), Ok(("for me".into(), None)));
    let refused = "invalid response status 401";
    assert_eq!(place.get_url(&with("me:wrong"), None), Err(refused.into()));
    // Whoever has no password has not what was fetched with one.
    assert!(place.get("/a", Some(Digest::of(b"for me"))).is_err());
    for entry in fs::read_dir(place.directory.path().join("downloads")).expect("downloads") {
        for file in fs::read_dir(entry.expect("readable").path()).expect("an entry") {
            let content = fs::read_to_string(file.expect("readable").path()).expect("text");
            assert!(!content.contains("secret"), "{content}");
        }
    }
}
