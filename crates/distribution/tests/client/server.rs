//! A server that answers as a test says, and remembers what it was asked.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

/// Listens on a port of its own until the test ends.
pub struct Server {
    /// `127.0.0.1:PORT`.
    pub authority: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A request, without its body.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    headers: Vec<(String, String)>,
}

/// A request that is being answered.
pub struct Request<'a> {
    pub seen: Seen,
    body: io::Take<&'a mut dyn Read>,
}

/// What a server does with a request.
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

enum Body {
    Whole(Vec<u8>),
    /// Says that there are `said` bytes, sends these, and closes the connection.
    Short {
        said: u64,
        sent: Vec<u8>,
    },
    /// Says that there are `said` bytes, sends these, and then nothing.
    Stalled {
        said: u64,
        sent: Vec<u8>,
    },
    /// Sends this again and again, as chunks, until nobody listens any more.
    Endless(Vec<u8>),
    /// In chunks, without a length.
    Chunked(Vec<u8>),
    /// No answer: the connection is closed.
    None,
}

pub fn answer(status: u16) -> Answer {
    Answer { status, headers: Vec::new(), body: Body::Whole(Vec::new()) }
}

/// Closes the connection without an answer.
pub fn hang_up() -> Answer {
    Answer { body: Body::None, ..answer(0) }
}

impl Answer {
    pub fn header(mut self, name: &str, value: impl ToString) -> Answer {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Answer {
        self.body = Body::Whole(body.into());
        self
    }

    pub fn json(self, body: &str) -> Answer {
        self.header("Content-Type", "application/json").body(body)
    }

    pub fn short(mut self, said: usize, sent: &[u8]) -> Answer {
        self.body = Body::Short { said: said as u64, sent: sent.into() };
        self
    }

    pub fn stalled(mut self, said: usize, sent: &[u8]) -> Answer {
        self.body = Body::Stalled { said: said as u64, sent: sent.into() };
        self
    }

    pub fn endless(mut self, piece: Vec<u8>) -> Answer {
        self.body = Body::Endless(piece);
        self
    }

    pub fn chunked(mut self, body: &[u8]) -> Answer {
        self.body = Body::Chunked(body.into());
        self
    }

    fn send(self, is_head: bool, stream: &mut dyn Write) -> io::Result<bool> {
        if matches!(self.body, Body::None) {
            return Ok(false);
        }
        write!(stream, "HTTP/1.1 {} Whatever\r\n", self.status)?;
        for (name, value) in &self.headers {
            write!(stream, "{name}: {value}\r\n")?;
        }
        let says_length = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        match &self.body {
            _ if says_length => write!(stream, "\r\n")?,
            Body::Whole(body) => write!(stream, "Content-Length: {}\r\n\r\n", body.len())?,
            Body::Short { said, .. } | Body::Stalled { said, .. } => {
                write!(stream, "Content-Length: {said}\r\n\r\n")?;
            }
            _ => write!(stream, "Transfer-Encoding: chunked\r\n\r\n")?,
        }
        if is_head {
            return Ok(true);
        }
        match self.body {
            Body::Whole(body) => stream.write_all(&body)?,
            Body::Short { sent, .. } => {
                stream.write_all(&sent)?;
                return Ok(false);
            }
            Body::Stalled { sent, .. } => {
                stream.write_all(&sent)?;
                stream.flush()?;
                thread::sleep(Duration::from_secs(600));
            }
            Body::Endless(piece) => loop {
                chunk(stream, &piece)?;
            },
            Body::Chunked(body) => {
                chunk(stream, &body)?;
                write!(stream, "0\r\n\r\n")?;
            }
            Body::None => {}
        }
        Ok(true)
    }
}

fn chunk(stream: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    write!(stream, "{:x}\r\n", bytes.len())?;
    stream.write_all(bytes)?;
    write!(stream, "\r\n")
}

impl Server {
    /// Starts a server that speaks plain HTTP.
    pub fn start(answer: impl Fn(&mut Request<'_>) -> Answer + Send + Sync + 'static) -> Server {
        Server::start_with(answer, |stream| Ok(Box::new(stream)))
    }

    /// Starts a server that wraps each connection first, in TLS for example.
    pub fn start_with<W>(
        answer: impl Fn(&mut Request<'_>) -> Answer + Send + Sync + 'static,
        wrap: W,
    ) -> Server
    where
        W: Fn(TcpStream) -> io::Result<Box<dyn Stream>> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer, wrap) = (seen.clone(), Arc::new(answer), Arc::new(wrap));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, answer, wrap) = (log.clone(), answer.clone(), wrap.clone());
                thread::spawn(move || {
                    let stream = stream?;
                    stream.set_nodelay(true)?;
                    let socket = stream.try_clone()?;
                    serve(wrap(stream)?, &log, &*answer)?;
                    socket.shutdown(Shutdown::Both)
                });
            }
        });
        Server { authority, seen }
    }

    /// What it was asked so far, but for how we found out whether it speaks TLS.
    pub fn seen(&self) -> Vec<Seen> {
        let is_probe = |seen: &&Seen| seen.target != "/v2/";
        self.seen.lock().unwrap().iter().filter(is_probe).cloned().collect()
    }

    /// `GET /v2/a/manifests/1`, and so on.
    pub fn lines(&self) -> Vec<String> {
        self.seen().iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect()
    }

    /// Everything it was asked, with all headers, as text.
    pub fn everything(&self) -> String {
        format!("{:?}", self.seen.lock().unwrap())
    }
}

/// What a server can speak over.
pub trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

fn serve(
    stream: Box<dyn Stream>,
    log: &Mutex<Vec<Seen>>,
    answer: &(dyn Fn(&mut Request<'_>) -> Answer + Send + Sync),
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        // The first byte of a TLS handshake: hang up, as who does not speak it would.
        if matches!(reader.fill_buf()?.first(), None | Some(0x16)) {
            return Ok(());
        }
        let Some(seen) = read_head(&mut reader)? else { return Ok(()) };
        log.lock().unwrap().push(seen.clone());
        let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
        let is_head = seen.method == "HEAD";
        let mut request = Request { seen, body: (&mut reader as &mut dyn Read).take(length) };
        let answer = answer(&mut request);
        if !matches!(answer.body, Body::None) {
            io::copy(&mut request.body, &mut io::sink())?;
        }
        if !answer.send(is_head, reader.get_mut())? {
            return Ok(());
        }
    }
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Seen>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let Some((first, headers)) = lines.split_first() else { return Ok(None) };
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let headers = headers.iter().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Ok(Some(Seen { method, target, headers }))
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter of the query, as it stands there.
    pub fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('='))
    }
}

impl Request<'_> {
    /// The whole body.
    pub fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        self.body.read_to_end(&mut body).unwrap();
        body
    }

    /// Its first bytes.
    pub fn begin_body(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length];
        self.body.read_exact(&mut body).unwrap();
        body
    }

    pub fn is(&self, method: &str, target: &str) -> bool {
        self.seen.method == method && self.seen.target == target
    }
}

/// A proxy that connects everybody to `target`, whatever they ask for. Hands out what it was asked for.
pub fn proxy(target: String) -> (String, mpsc::Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://me:proxysecret@{}", listener.local_addr().unwrap());
    let (sender, seen) = mpsc::channel();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (target, sender) = (target.clone(), sender.clone());
            thread::spawn(move || {
                let client = client?;
                let mut reader = BufReader::new(client.try_clone()?);
                let Some(head) = read_head(&mut reader)? else { return Ok(()) };
                // Not every test wants to know.
                let _ = sender.send(head);
                let mut server = TcpStream::connect(target)?;
                write!(&client, "HTTP/1.1 200 Connected\r\n\r\n")?;
                let (mut back, mut away) = (server.try_clone()?, client.try_clone()?);
                thread::spawn(move || io::copy(&mut back, &mut away));
                io::copy(&mut reader, &mut server).map(drop)
            });
        }
    });
    (url, seen)
}
