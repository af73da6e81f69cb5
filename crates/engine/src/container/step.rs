//! A build step: a process in a container of its own that exists only as long as the process.
//!
//! The same sandbox as any container's, and the same code. It has no name and no row: if its launcher dies, its
//! monitor ends it, and the next command that comes by sweeps its directory.

mod agent;
mod mounts;

use std::{
    io,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use monitor::{Lock, Part, TerminalSize, log::Stream};
use runtime::Confidential;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::OFlags,
    io::Errno,
    pipe::{PipeFlags, pipe_with},
};
use types::ContainerId;

use self::mounts::Prepared;
pub use self::mounts::{Access, SecretContent, StepMount, StepSource};
use super::{
    config::{Config, HealthAction, Limits, Seccomp, Streams, Ulimit},
    create::{make_directory, users},
    isolation::Isolation,
    log_config::LogConfig,
    networking::{Naming, NetworkMode, Networking},
    start::{Attach, Attached, Extras, Layers, OnAbandon},
    status::Container,
    users::Users,
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
    /// Mounted in this order, for the process only. Where a mount point is missing, one is made in the topmost layer.
    pub mounts: Vec<StepMount>,
    /// `NAME=value`, which no disk may see.
    pub secrets: Vec<String>,
    pub hosts: Vec<ExtraHost>,
    pub limits: Limits,
    pub ulimits: Vec<Ulimit>,
    /// The cgroup its own is made in, if not the engine's.
    pub cgroup_parent: Option<String>,
    pub privileged: bool,
}

/// A step that is ready to be launched.
struct Place {
    container: Container,
    layers: Layers,
    extras: Extras,
    lock: Lock,
}

/// A name that a process finds in /etc/hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHost {
    pub name: String,
    pub address: HostAddress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostAddress {
    Ip(IpAddr),
    /// That of the host on the default bridge.
    Gateway,
}

/// What the user has of a step in whose place a process runs that talks to them.
pub struct Talk<'a> {
    pub output: BorrowedFd<'a>,
    pub errors: BorrowedFd<'a>,
    /// The size of the terminal the process is to have, if it is to have one.
    pub terminal: Option<TerminalSize>,
}

impl Engine {
    /// Runs a step to its end, passing on what it writes; its exit code. Nothing but its changes is left.
    ///
    /// When `stop` becomes readable, all its processes are killed, which is an end like any other.
    pub fn run_step(
        &self,
        step: Step,
        stop: BorrowedFd<'_>,
        mut output: impl FnMut(Stream, &[u8]),
    ) -> Result<u8, EngineError> {
        self.in_place(step, |place| {
            let ((read_output, write_output), (read_errors, write_errors)) = (pipe()?, pipe()?);
            let part =
                Part { input: false, output: Some(write_output.as_fd()), errors: Some(write_errors.as_fd()) };
            let attached = self.launch_step(place, Attach::Part(part, None))?;
            drop((write_output, write_errors));
            let sources = [(Stream::Stdout, &read_output), (Stream::Stderr, &read_errors)];
            pass_on(&attached, stop, sources, &mut output)?;
            attached.wait()
        })
    }

    /// The same for a process that writes to the user by itself, and reads what `take_part` gives it. That is to return
    /// when the process has ended; if it fails, the process is killed.
    pub fn talk_in_step(
        &self,
        step: Step,
        talk: Talk<'_>,
        take_part: impl FnOnce(&mut Attached) -> io::Result<()>,
    ) -> Result<u8, EngineError> {
        let Talk { output, errors, terminal } = talk;
        self.in_place(step, |mut place| {
            place.container.config.tty = terminal.is_some();
            place.container.config.open_stdin = true;
            place.container.config.stdin_once = true;
            let part = Part { input: true, output: Some(output), errors: Some(errors) };
            let mut attached = self.launch_step(place, Attach::Part(part, terminal))?;
            if let Err(error) = take_part(&mut attached) {
                attached.abandon()?;
                attached.wait()?;
                return Err(error.into());
            }
            attached.wait()
        })
    }

    /// Makes a place for a step, lets `run` run it there, and removes the place.
    fn in_place(
        &self,
        step: Step,
        run: impl FnOnce(Place) -> Result<u8, EngineError>,
    ) -> Result<u8, EngineError> {
        let id = names::random_id()?;
        let directory = self.root().join("containers").join(id.to_string());
        let lock = make_directory(&directory, &["rootfs"])?;
        let outcome = self.place(step, id, directory.clone(), lock).and_then(|(place, agents)| {
            let outcome = run(place);
            drop(agents);
            outcome
        });
        // A monitor that was killed has left more than the directory, and may not be gone yet. Whoever comes first removes it, and
        // that may be somebody's sweep.
        let taken_back = match Lock::take(&directory) {
            Ok(lock) => monitor::take_back(&directory, &lock).map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        taken_back
            .and_then(|()| crate::remove_tree(&directory))
            .map_err(|source| EngineError::File { path: directory, source })?;
        outcome
    }

    fn place(
        &self,
        mut step: Step,
        id: ContainerId,
        directory: PathBuf,
        lock: Lock,
    ) -> Result<(Place, Vec<agent::Relay>), EngineError> {
        let layers = Layers {
            lower: std::mem::take(&mut step.layers),
            upper: std::mem::take(&mut step.upper),
            work: std::mem::take(&mut step.work),
        };
        let Prepared { mounts, files, agents } =
            mounts::prepare(std::mem::take(&mut step.mounts), &directory)?;
        let confidential = Confidential { variables: std::mem::take(&mut step.secrets), files };
        let hosts = self.host_lines(&step.hosts)?;
        // The host's network and its privileges go with the host's users only.
        let users = match step.privileged || step.network == NetworkMode::Host {
            true => Users::Host,
            false => users(&Isolation::default(), &step.network, false)?,
        };
        let extras =
            Extras { mounts, hosts, cgroup_parent: step.cgroup_parent.take(), confidential, restarts: 0 };
        let container = Container {
            id,
            name: names::random_name()?,
            created: jiff::Timestamp::now(),
            manifest: types::Digest::of(&[]),
            config: config(step, users),
            directory,
        };
        Ok((Place { container, layers, extras, lock }, agents))
    }

    fn launch_step(&self, place: Place, attach: Attach<'_>) -> Result<Attached, EngineError> {
        let Place { container, layers, extras, lock } = place;
        self.launch(&container, layers, extras, lock, attach, OnAbandon::End)
    }

    /// The lines of /etc/hosts that `hosts` come to.
    fn host_lines(&self, hosts: &[ExtraHost]) -> Result<String, EngineError> {
        hosts.iter().map(|ExtraHost { name, address }| self.host_line(name, *address)).collect()
    }

    /// The line of /etc/hosts for a name.
    pub(super) fn host_line(&self, name: &str, address: HostAddress) -> Result<String, EngineError> {
        let address = match address {
            HostAddress::Ip(address) => address,
            HostAddress::Gateway => self.default_network()?.config.gateway.into(),
        };
        Ok(format!("{address}\t{name}\n"))
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((read, write))
}

/// Passes on what comes out of the pipes until the container has ended, by when all of it is in them. It is made to
/// end when `stop` is readable.
fn pass_on(
    attached: &Attached,
    stop: BorrowedFd<'_>,
    sources: [(Stream, &OwnedFd); 2],
    output: &mut impl FnMut(Stream, &[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut open = [true, true];
    let mut stopped = false;
    loop {
        let mut waiting = vec![PollFd::new(attached, PollFlags::IN)];
        // One that is ignored stays in its place.
        waiting
            .push(PollFd::from_borrowed_fd(stop, if stopped { PollFlags::empty() } else { PollFlags::IN }));
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
        if !stopped && !waiting[1].revents().is_empty() {
            stopped = true;
            attached.abandon()?;
        }
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

fn config(mut step: Step, users: Users) -> Config {
    if !step.env.iter().any(|entry| entry.starts_with("HOSTNAME=")) {
        // What a step makes does not depend on the name, which BuildKit does not tell it either.
        step.env.push("HOSTNAME".to_owned());
    }
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
        stdin_once: false,
        attach: Streams::default(),
        log: LogConfig::default(),
        labels: Vec::new(),
        exposed: Vec::new(),
        publish: Vec::new(),
        publish_all: false,
        mounts: Vec::new(),
        network: Networking::of(step.network),
        naming: Naming::default(),
        limits: step.limits,
        ulimits: step.ulimits,
        cap_add: Vec::new(),
        cap_drop: Vec::new(),
        privileged: step.privileged,
        no_new_privileges: false,
        seccomp: Seccomp::Default,
        read_only: false,
        init: false,
        // Its root is not mounted again: what it writes is synced when it becomes a layer.
        auto_remove: true,
        start_at_once: true,
        stop_signal: None,
        stop_timeout: None,
        restart: monitor::Restart::No,
        health: None,
        health_on_failure: HealthAction::None,
        shell: None,
        isolation: Isolation { users, ..Isolation::default() },
    }
}
