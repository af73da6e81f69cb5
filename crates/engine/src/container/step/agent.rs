//! A socket that a step finds an ssh agent behind.
//!
//! The agent's own socket belongs to its user and has that user's mode; a step may be somebody else. So it gets a socket
//! of ours, with the owner it asks for, and what is said there is passed on. The keys never leave the agent.

use std::{
    io,
    net::Shutdown,
    os::{
        fd::AsRawFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    thread::{self, JoinHandle},
};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};

use super::mounts::Access;

/// Passes on what is said at a socket, until it is dropped.
pub struct Relay {
    listener: UnixListener,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Makes the socket `name` in `directory` and begins to listen there for whoever wants the agent at `agent`.
    pub fn start(agent: &Path, directory: &Path, name: &str, access: Access) -> io::Result<Relay> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        // A socket's path may have 108 bytes; the directory's may have more.
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))?;
        let (uid, gid) = (Uid::from_raw(access.uid), Gid::from_raw(access.gid));
        rustix::fs::chownat(&directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::chmodat(&directory, name, Mode::from_raw_mode(access.mode), AtFlags::empty())?;
        let (ours, agent) = (listener.try_clone()?, agent.to_owned());
        let thread =
            thread::Builder::new().name("ssh-agent".to_owned()).spawn(move || listen(&ours, &agent))?;
        Ok(Relay { listener, thread: Some(thread) })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Wakes the one that waits for connections. Those there are end with their processes.
        rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both).ok();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked, and if it had, the build would go on.
            thread.join().ok();
        }
    }
}

fn listen(listener: &UnixListener, agent: &Path) {
    while let Ok((client, _)) = listener.accept() {
        // One that cannot be served is hung up on, which is what it would see of an agent that is gone.
        let Ok(agent) = UnixStream::connect(agent) else { continue };
        let copies = (client.try_clone(), agent.try_clone());
        if let (Ok(client_too), Ok(agent_too)) = copies {
            thread::spawn(move || pass_on(client, agent));
            thread::spawn(move || pass_on(agent_too, client_too));
        }
    }
}

/// Passes on all that comes, then says that nothing more will.
fn pass_on(mut from: UnixStream, mut to: UnixStream) {
    // Whichever side has gone, the other is told.
    io::copy(&mut from, &mut to).ok();
    to.shutdown(Shutdown::Write).ok();
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::fs::MetadataExt,
    };

    use super::*;

    #[test]
    fn what_is_said_reaches_the_agent_and_its_answer_comes_back() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let agent = UnixListener::bind(directory.path().join("real")).expect("agent");
        let place = directory.path().join("a".repeat(120));
        std::fs::create_dir(&place).expect("directory");
        let access = Access {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            mode: 0o640,
        };
        let relay = Relay::start(&directory.path().join("real"), &place, "agent0", access).expect("relay");
        assert_eq!(std::fs::metadata(place.join("agent0")).expect("socket").mode() & 0o777, 0o640);

        let answering = thread::spawn(move || {
            let (mut client, _) = agent.accept().expect("connection");
            let mut question = String::new();
            client.read_to_string(&mut question).expect("question");
            client.write_all(format!("{question}!").as_bytes()).expect("answer");
        });
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let short = rustix::fs::open(&place, flags, Mode::empty()).expect("directory");
        let mut client =
            UnixStream::connect(format!("/proc/self/fd/{}/agent0", short.as_raw_fd())).expect("socket");
        client.write_all(b"who").expect("question");
        client.shutdown(Shutdown::Write).expect("end");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("answer");
        assert_eq!(answer, "who!");
        answering.join().expect("the agent");
        drop(relay);
    }
}
