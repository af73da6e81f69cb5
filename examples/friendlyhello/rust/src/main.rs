//! Says hello, and counts its visitors in Redis: the twin of `app.py`, as one static program.
//!
//! Everything is the standard library's. Of HTTP and of Redis's protocol there is just what one page
//! and one command need.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, ToSocketAddrs},
    thread,
    time::Duration,
};

/// How long to wait for Redis before the page does without it, and for a visitor's next word.
const PATIENCE: Duration = Duration::from_secs(2);

/// In bytes; what comes after is not read.
const LONGEST_REQUEST: u64 = 64 << 10;

fn main() -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", 80))?;
    for visitor in listener.incoming() {
        // A visitor who is gone already is no reason to stop.
        let Ok(visitor) = visitor else { continue };
        thread::spawn(move || answer(visitor).unwrap_or_else(|err| eprintln!("lost a visitor: {err}")));
    }
    Ok(())
}

/// Reads one request and answers it.
fn answer(visitor: TcpStream) -> io::Result<()> {
    visitor.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new((&visitor).take(LONGEST_REQUEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The headers say nothing we need, but closing with them unread would reset the connection.
    for header in lines {
        if header?.is_empty() {
            break;
        }
    }

    let (status, body) = match request.split(' ').nth(1) {
        Some("/") => ("200 OK", page()),
        _ => ("404 Not Found", "there is nothing here".to_owned()),
    };
    println!("{request} {status}");
    write!(
        &visitor,
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn page() -> String {
    let name = env::var("NAME").unwrap_or_else(|_| "world".to_owned());
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let visits = increment("counter").map_or_else(
        |_| "<i>cannot connect to Redis, counter disabled</i>".to_owned(),
        |visits| visits.to_string(),
    );
    format!("<h3>Hello {name}!</h3><b>Hostname:</b> {}<br/><b>Visits:</b> {visits}", hostname.trim_end())
}

/// Asks the container called `redis` to count one further.
fn increment(counter: &str) -> io::Result<u64> {
    let mut addresses = ("redis", 6379).to_socket_addrs()?;
    let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
    let mut redis = TcpStream::connect_timeout(&address, PATIENCE)?;
    redis.set_read_timeout(Some(PATIENCE))?;
    redis.set_write_timeout(Some(PATIENCE))?;

    write!(redis, "*2\r\n$4\r\nINCR\r\n${}\r\n{counter}\r\n", counter.len())?;
    let mut reply = String::new();
    BufReader::new(redis).read_line(&mut reply)?;
    // An integer reply is `:1000`; an error is a minus and its text.
    reply
        .strip_prefix(':')
        .and_then(|number| number.trim_end().parse().ok())
        .ok_or(io::ErrorKind::InvalidData.into())
}
