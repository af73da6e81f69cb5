//! A build step: a process in a container of its own that exists only as long as the process.
//!
//! The same sandbox as any container's, and the same code. It has no name and no row: if its launcher dies, its
//! monitor ends it, and the next command that comes by sweeps its directory.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use monitor::log::Stream;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::OFlags,
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};

use super::{
    config::{Config, Limits, NetworkMode, Seccomp},
    create::make_directory,
    start::{Attach, Attached, Layers, OnAbandon},
    status::Container,
};
use crate::{Engine, error::EngineError, names};

/// A process to run on top of some layers.
#[derive(Debug, Clone)]
pub struct Step {
    /// The layers' directories, topmost first.
    pub layers: Vec<PathBuf>,
    /// Where its changes go, and overlayfs's working directory beside it.
    pub upper: PathBuf,
    pub work: PathBuf,
    pub arguments: Vec<String>,
    pub env: Vec<String>,
    pub working_directory: String,
    pub user: String,
    pub hostname: String,
    pub network: NetworkMode,
}

impl Engine {
    /// Runs a step to its end, passing on what it writes; its exit code. Nothing but its changes is left.
    pub fn run_step(&self, step: Step, mut output: impl FnMut(Stream, &[u8])) -> Result<u8, EngineError> {
        let Step { layers, upper, work, .. } = &step;
        let layers = Layers { lower: layers.clone(), upper: upper.clone(), work: work.clone() };
        let id = names::random_id()?;
        let directory = self.root().join("containers").join(id.to_string());
        let lock = make_directory(&directory, &["rootfs"])?;
        let container = Container {
            id,
            name: names::random_name()?,
            created: jiff::Timestamp::now(),
            manifest: types::Digest::of(&[]),
            config: config(step),
            directory,
        };
        let ((read_output, write_output), (read_errors, write_errors)) = (pipe()?, pipe()?);
        let attach =
            Attach::Output { output: write_output.as_fd(), errors: write_errors.as_fd(), terminal: None };
        let outcome = self.launch(&container, layers, lock, attach, OnAbandon::End).and_then(|attached| {
            drop((write_output, write_errors));
            let sources = [(Stream::Stdout, &read_output), (Stream::Stderr, &read_errors)];
            pass_on(&attached, sources, &mut output)?;
            attached.wait()
        });
        // Its lock is free by now: whoever comes first removes it, and that may be somebody's sweep.
        crate::remove_tree(&container.directory).map_err(|error| container.file_error(error))?;
        outcome
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((read, write))
}

/// Passes on what comes out of the pipes until the container has ended, by when all of it is in them.
fn pass_on(
    attached: &Attached,
    sources: [(Stream, &OwnedFd); 2],
    output: &mut impl FnMut(Stream, &[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut open = [true, true];
    loop {
        let mut waiting = vec![PollFd::new(attached, PollFlags::IN)];
        waiting.extend(
            sources
                .iter()
                .zip(open)
                .filter(|(_, open)| *open)
                .map(|((_, fd), _)| PollFd::new(*fd, PollFlags::IN)),
        );
        match poll(&mut waiting, None) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let ended = !waiting[0].revents().is_empty();
        for ((stream, source), open) in sources.iter().zip(&mut open) {
            while *open {
                match rustix::io::read(source, &mut buffer) {
                    Ok(0) => *open = false,
                    Ok(n) => output(*stream, &buffer[..n]),
                    Err(Errno::AGAIN) => break,
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if ended {
            return Ok(());
        }
    }
}

fn config(step: Step) -> Config {
    Config {
        image: String::new(),
        image_id: types::Digest::of(&[]),
        entrypoint: Vec::new(),
        command: step.arguments,
        env: step.env,
        working_directory: step.working_directory,
        user: step.user,
        hostname: step.hostname,
        tty: false,
        open_stdin: false,
        labels: Vec::new(),
        exposed: Vec::new(),
        publish: Vec::new(),
        publish_all: false,
        mounts: Vec::new(),
        network: step.network,
        limits: Limits::default(),
        ulimits: Vec::new(),
        cap_add: Vec::new(),
        cap_drop: Vec::new(),
        privileged: false,
        no_new_privileges: false,
        seccomp: Seccomp::Default,
        read_only: false,
        init: false,
        // Its root is not mounted again: what it writes is synced when it becomes a layer.
        auto_remove: true,
        start_at_once: true,
        stop_signal: None,
        stop_timeout: None,
    }
}
