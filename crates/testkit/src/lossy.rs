//! A proxy that behaves as bad networks do.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;

use crate::Sandbox;

/// What becomes of every connection, alone: bytes count in both directions together.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It is as it should be.
    None,
    /// It ends after so many bytes, as if the other side had closed it.
    Cut { after: u64 },
    /// It is reset after so many bytes.
    Reset { after: u64 },
    /// It stays open after so many bytes, and nothing comes any more.
    Stall { after: u64 },
    /// Whatever passes waits for so long, some 64 kB at a time.
    Delay(Duration),
}

/// A TCP proxy on a sandbox's network. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Lossy {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

/// What all threads of a proxy know.
#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    fault: Mutex<Fault>,
    to_server: AtomicU64,
    to_client: AtomicU64,
    connections: Mutex<Vec<Weak<Connection>>>,
}

/// Both sides of a connection. Closed when the last of its two threads lets go.
#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    fault: Fault,
    /// Bytes until the fault shows.
    left: Mutex<u64>,
}

impl Lossy {
    /// Starts a proxy for what listens at `target` on the sandbox's network.
    pub fn start(sandbox: &Sandbox, target: SocketAddr, fault: Fault) -> Lossy {
        let shared = Arc::new(Shared {
            target,
            fault: Mutex::new(fault),
            to_server: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            connections: Mutex::default(),
        });
        // A thread stays on the network it was started on, and so do those that it starts.
        sandbox.within(|| {
            let listener =
                Arc::new(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on the loopback"));
            let address = listener.local_addr().expect("it is bound");
            let (ours, theirs) = (Arc::clone(&listener), Arc::clone(&shared));
            let accepting = Some(thread::spawn(move || theirs.accept(&ours)));
            Lossy { address, listener, shared, accepting }
        })
    }

    /// What the names of images begin with that go through it, such as `127.0.0.1:41234`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Lets connections yet to come fare differently.
    pub fn set(&self, fault: Fault) {
        *lock(&self.shared.fault) = fault;
    }

    /// How many bytes have come from the server for clients, of HTTP and TLS as they are on the wire.
    pub fn to_client(&self) -> u64 {
        self.shared.to_client.load(Relaxed)
    }

    /// How many bytes have come from clients for the server.
    pub fn to_server(&self) -> u64 {
        self.shared.to_server.load(Relaxed)
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        lock(&self.shared.connections).len()
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        // Wakes the thread that accepts.
        rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both).expect("a listening socket");
        if let Some(Err(_)) = self.accepting.take().map(JoinHandle::join) {
            eprintln!("the proxy at {} has panicked", self.address);
        }
        for connection in lock(&self.shared.connections).iter().filter_map(Weak::upgrade) {
            connection.end();
        }
    }
}

impl Shared {
    /// Serves whoever comes, until the listener is shut down.
    fn accept(self: &Arc<Shared>, listener: &TcpListener) {
        while let Ok((client, _)) = listener.accept() {
            // Without a server the client sees its connection closed.
            let Ok(server) = TcpStream::connect(self.target) else { continue };
            let fault = *lock(&self.fault);
            let left = Mutex::new(fault.after().unwrap_or(u64::MAX));
            let connection = Arc::new(Connection { client, server, fault, left });
            lock(&self.connections).push(Arc::downgrade(&connection));
            let (shared, other) = (Arc::clone(self), Arc::clone(&connection));
            thread::spawn(move || other.relay(&other.client, &other.server, &shared.to_server));
            let shared = Arc::clone(self);
            thread::spawn(move || {
                connection.relay(&connection.server, &connection.client, &shared.to_client)
            });
        }
    }
}

impl Connection {
    /// Passes on what comes from one side until either side ends or the fault shows.
    fn relay(&self, mut from: &TcpStream, mut to: &TcpStream, passed: &AtomicU64) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = match from.read(&mut buffer) {
                // Closed by the last thread to let go, and not before.
                Ok(0) if self.is_reset() => return,
                // The other direction may go on.
                Ok(0) => return drop(to.shutdown(Shutdown::Write)),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.end(),
            };
            if let Fault::Delay(time) = self.fault {
                thread::sleep(time);
            }
            let allowed = self.spend(length);
            passed.fetch_add(allowed as u64, Relaxed);
            if to.write_all(&buffer[..allowed]).is_err() {
                return self.end();
            }
            if allowed < length {
                return self.fail(from);
            }
        }
    }

    /// How many of `length` bytes may still pass.
    fn spend(&self, length: usize) -> usize {
        let mut left = lock(&self.left);
        let allowed = length.min(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= allowed as u64;
        allowed
    }

    /// Shows the fault, in the direction that comes from `from`.
    fn fail(&self, mut from: &TcpStream) {
        match self.fault {
            Fault::Reset { .. } => {
                for side in [&self.client, &self.server] {
                    // Without it the close that follows is a polite one, and the test says so.
                    let _ = set_socket_linger(side, Some(Duration::ZERO));
                    // Wakes our own thread, and says nothing to the other side.
                    let _ = side.shutdown(Shutdown::Read);
                }
            }
            // Swallows the rest, for as long as this side keeps sending.
            Fault::Stall { .. } => drop(io::copy(&mut from, &mut io::sink())),
            Fault::Cut { .. } | Fault::None | Fault::Delay(_) => self.end(),
        }
    }

    fn is_reset(&self) -> bool {
        matches!(self.fault, Fault::Reset { .. }) && *lock(&self.left) == 0
    }

    /// Closes both sides; one that is closed already stays so.
    fn end(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl Fault {
    fn after(self) -> Option<u64> {
        match self {
            Fault::Cut { after } | Fault::Reset { after } | Fault::Stall { after } => Some(after),
            Fault::None | Fault::Delay(_) => None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client gets through a proxy with this fault of 100 kB, and how its connection ends.
    fn check(fault: Fault, expected: usize, end: Result<(), io::ErrorKind>) {
        let Some(sandbox) = Sandbox::empty("/bin/true") else { return };
        let server = sandbox.within(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let proxy = Lossy::start(&sandbox, server.local_addr().unwrap(), fault);
        let mut client = sandbox.connect(&proxy.host()).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        thread::scope(|scope| {
            // It cannot always send it all.
            scope.spawn(|| drop(server.accept().unwrap().0.write_all(&[7; 100_000])));
            let mut seen = Vec::new();
            let ended = client.read_to_end(&mut seen).map(drop).map_err(|error| error.kind());
            assert_eq!((seen.len(), ended), (expected, end), "{fault:?}");
        });
        assert_eq!((proxy.to_client(), proxy.connections()), (expected as u64, 1), "{fault:?}");
    }

    #[test]
    fn a_connection_fares_as_it_is_told() {
        check(Fault::None, 100_000, Ok(()));
        check(Fault::Delay(Duration::from_millis(10)), 100_000, Ok(()));
        check(Fault::Cut { after: 70_000 }, 70_000, Ok(()));
        check(Fault::Stall { after: 70_000 }, 70_000, Err(io::ErrorKind::WouldBlock));
    }

    #[test]
    fn a_reset_may_take_back_what_was_on_its_way() {
        let Some(sandbox) = Sandbox::empty("/bin/true") else { return };
        let server = sandbox.within(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let proxy = Lossy::start(&sandbox, server.local_addr().unwrap(), Fault::Reset { after: 10 });
        let mut client = sandbox.connect(&proxy.host()).unwrap();
        client.write_all(b"more than ten bytes").unwrap();
        let ended = client.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::ConnectionReset);
    }
}
