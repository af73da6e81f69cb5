//! The way out of the network namespace that an ordinary user's networks are in, into the host's, which is not the user's to change.
//!
//! pasta(1), of the package passt, gives that namespace an interface with the host's address and routes, and speaks for it through
//! sockets of the user's own. One serves all containers, and is nobody's child. A named pipe beside the namespace ties it to them:
//!
//! ```text
//!   pasta             has it open for reading: whoever opens it for writing succeeds while there is a pasta
//!   every monitor     has it open for writing: hears that pasta is gone, and the kernel ends pasta with the last of them
//! ```
//!
//! Whoever finds that there is none starts one, under a lock on the namespace.

use std::{
    ffi::CString,
    fs::File,
    io::{self, Read, Seek},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use network::RootlessNetns;
use runtime::Failure;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, FileType, FlockOperation, MemfdFlags, Mode, OFlags, flock, memfd_create, mknodat},
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};
use sys::process::{Fork, Namespaces, Strings, exec, fork};

/// That there is a pasta, which is there for as long as anybody has this. Its descriptor hangs up when pasta has gone all the same.
#[derive(Debug)]
pub struct Pasta(OwnedFd);

impl Pasta {
    /// Has `netns` connected, by a pasta that runs or by a new one, and waits until it is.
    pub fn ensure(netns: &RootlessNetns) -> Result<Pasta, Failure> {
        let context = |error: io::Error| Failure::setup(format_args!("starting pasta: {error}"));
        let pipe = netns.place().with_extension("pasta");
        let lock = File::open(netns.place()).map_err(context)?;
        rustix::io::retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))
            .map_err(|error| context(error.into()))?;
        match open(&pipe, OFlags::WRONLY) {
            Ok(writer) => return Ok(Pasta(writer)),
            Err(Errno::NXIO) => {}
            Err(Errno::NOENT) => {
                let made = mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0);
                made.map_err(|error| context(error.into()))?;
            }
            Err(error) => return Err(context(error.into())),
        }
        start(netns.place(), &pipe).map_err(context)?.map(Pasta)
    }
}

impl AsFd for Pasta {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Starts one; the pipe's other end.
fn start(netns: &Path, pipe: &Path) -> io::Result<Result<OwnedFd, Failure>> {
    let (reader, writer) = (open(pipe, OFlags::RDONLY)?, open(pipe, OFlags::WRONLY)?);
    let (ready, says_ready) = pipe_with(PipeFlags::CLOEXEC)?;
    let said = memfd_create("pasta", MemfdFlags::CLOEXEC)?;
    let arguments = Strings::new(arguments(netns))?;
    match fork(Namespaces::NONE, None)? {
        Fork::Parent(child) => drop(child.wait()?),
        Fork::Child => {
            // A child of nobody who may go before others that need it.
            if let Ok(Fork::Child) = fork(Namespaces::NONE, None) {
                become_pasta(&arguments, [&reader, &says_ready, &said]);
            }
            std::process::exit(0)
        }
    }
    drop((reader, says_ready));
    if is_ready(&ready)? {
        return Ok(Ok(writer));
    }
    let mut text = String::new();
    let mut said = File::from(said);
    said.rewind()?;
    said.read_to_string(&mut text)?;
    let why = format_args!("pasta cannot connect the containers' network: {}", last_line(&text));
    Ok(Err(Failure::setup(why)))
}

/// Waits for pasta to write its number, which it does when it is done with its preparations; `false` if it has ended instead.
fn is_ready(from: &OwnedFd) -> io::Result<bool> {
    let patience = Timespec { tv_sec: PATIENCE_SECONDS, tv_nsec: 0 };
    rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(from, PollFlags::IN)], Some(&patience)))?;
    rustix::fs::fcntl_setfl(from, OFlags::NONBLOCK)?;
    Ok(rustix::io::read(from, &mut [0; 16]).is_ok_and(|count| count > 0))
}

fn become_pasta(arguments: &Strings, [lifeline, ready, errors]: [&OwnedFd; 3]) {
    let nothing: [&str; 0] = [];
    let (Ok(program), Ok(environment)) = (CString::new(PROGRAM), Strings::new(nothing)) else { return };
    let prepared = rustix::stdio::dup2_stdin(lifeline)
        .and_then(|()| rustix::stdio::dup2_stdout(ready))
        .and_then(|()| rustix::stdio::dup2_stderr(errors));
    // It takes a signal that is ignored already for a failure of its own.
    let ready = prepared.is_ok()
        && sys::signals::reset().is_ok()
        && sys::signals::end_with_the_writers_of(rustix::stdio::stdin()).is_ok();
    if ready {
        let error = exec(&program, arguments, &environment);
        let _ = rustix::io::write(errors, error.to_string().as_bytes());
    }
}

fn arguments(netns: &Path) -> Vec<String> {
    // Nothing inside reaches what listens on the host's own loopback, by whatever address. Ports are the monitors'.
    let fixed = ["pasta", "--config-net", "--foreground", "--stderr", "--quiet", "--no-map-gw"];
    let ports = ["-t", "none", "-u", "none", "-T", "none", "-U", "none", "--pid", "/proc/self/fd/1"];
    let namespace = ["--netns-only", "--netns", &netns.to_string_lossy()].map(str::to_owned);
    fixed.into_iter().chain(ports).map(str::to_owned).chain(namespace).collect()
}

fn open(pipe: &Path, access: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(pipe, access | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}

fn last_line(text: &str) -> &str {
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it does not say why").trim()
}

/// Whether it is installed.
pub fn is_installed() -> bool {
    Path::new(PROGRAM).exists()
}

const PROGRAM: &str = "/usr/bin/pasta";
const PATIENCE_SECONDS: i64 = 10;
