//! A registry that says what a test tells it to say, true or not, and remembers what it was asked.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

use crate::Sandbox;

/// A server of plain HTTP on a sandbox's network. What it knows no answer to is not found.
#[derive(Debug)]
pub struct Hostile {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// What all threads of a server know.
#[derive(Debug, Default)]
struct Shared {
    /// By path and query. The last answer to something stays.
    answers: Mutex<HashMap<String, VecDeque<Answer>>>,
    seen: Mutex<Vec<String>>,
}

/// What is said when something is asked for.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    ending: Ending,
}

/// What follows the bytes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The next request.
    Proper,
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing, and the connection stays open.
    Stall,
    /// The same bytes again and again.
    Repeat,
}

impl Answer {
    /// An answer of this HTTP status, without a body.
    pub fn new(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new(), ending: Ending::Proper }
    }

    /// `Content-Length` is the body's, unless it is given here.
    pub fn header(mut self, name: &str, value: impl ToString) -> Answer {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Answer {
        self.body = body.into();
        self
    }

    pub fn ending(mut self, ending: Ending) -> Answer {
        self.ending = ending;
        self
    }

    /// Sends the answer; whether another request may follow.
    fn send(&self, is_head: bool, stream: &mut TcpStream) -> io::Result<bool> {
        let mut head = format!("HTTP/1.1 {} Whatever\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if self.ending == Ending::Repeat {
            head += "Transfer-Encoding: chunked\r\n";
        } else if !self.headers.iter().any(|(name, _)| name == "Content-Length") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if is_head {
            return Ok(true);
        }
        if self.ending == Ending::Repeat {
            loop {
                write!(stream, "{:x}\r\n", self.body.len())?;
                stream.write_all(&self.body)?;
                stream.write_all(b"\r\n")?;
            }
        }
        stream.write_all(&self.body)?;
        match self.ending {
            Ending::Reset => set_socket_linger(&*stream, Some(Duration::ZERO))?,
            // Until the other side has had enough.
            Ending::Stall => drop(io::copy(stream, &mut io::sink())?),
            Ending::Proper | Ending::Close | Ending::Repeat => {}
        }
        Ok(self.ending == Ending::Proper)
    }
}

impl Hostile {
    /// Starts a registry that has nothing yet.
    pub fn start(sandbox: &Sandbox) -> Hostile {
        let shared = Arc::new(Shared::default());
        // A thread stays on the network it was started on, and so do those that it starts.
        sandbox.within(|| {
            let listener =
                Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on the loopback"));
            let address = listener.local_addr().expect("it is bound");
            let (ours, theirs) = (Arc::clone(&listener), Arc::clone(&shared));
            let accepting = Some(thread::spawn(move || theirs.accept(&ours)));
            let hostile = Hostile { address, listener, shared, accepting };
            hostile.answer("/v2/", Answer::new(200));
            hostile
        })
    }

    /// What the names of its images begin with, such as `127.0.0.1:41234`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// From now on, this is the answer to who asks for `target`, a path perhaps with a query.
    pub fn answer(&self, target: &str, answer: Answer) {
        lock(&self.shared.answers).insert(target.to_owned(), VecDeque::from([answer]));
    }

    /// Gives this answer once before those it has.
    pub fn answer_first(&self, target: &str, answer: Answer) {
        lock(&self.shared.answers).entry(target.to_owned()).or_default().push_front(answer);
    }

    /// The requests so far with all their headers, as they came.
    pub fn seen(&self) -> Vec<String> {
        lock(&self.shared.seen).clone()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        // Wakes the thread that accepts. The others end with the clients they serve.
        rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both).expect("a listening socket");
        if let Some(Err(_)) = self.accepting.take().map(JoinHandle::join) {
            eprintln!("the hostile registry at {} has panicked", self.address);
        }
    }
}

impl Shared {
    /// Serves whoever comes, until the listener is shut down.
    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        while let Ok((client, _)) = listener.accept() {
            let shared = Arc::clone(self);
            // A client may go away in the middle of anything.
            thread::spawn(move || drop(shared.serve(client)));
        }
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut reader = BufReader::new(client.try_clone()?);
        loop {
            // TLS begins with this byte; who does not speak it hangs up.
            if matches!(reader.fill_buf()?.first(), None | Some(0x16)) {
                return Ok(());
            }
            let mut head = String::new();
            while reader.read_line(&mut head)? > 2 {}
            let mut words = head.split(' ');
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let answer = self.answer_to(target);
            let is_head = method == "HEAD";
            let length = header(&head, "content-length").and_then(|length| length.parse().ok());
            lock(&self.seen).push(head);
            io::copy(&mut (&mut reader).take(length.unwrap_or(0)), &mut io::sink())?;
            if !answer.send(is_head, &mut client)? {
                return Ok(());
            }
        }
    }

    fn answer_to(&self, target: &str) -> Answer {
        match lock(&self.answers).get_mut(target) {
            Some(several) if several.len() > 1 => several.pop_front().expect("there are several"),
            Some(last) => last[0].clone(),
            None => Answer::new(404),
        }
    }
}

/// The value of a header of a request.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
