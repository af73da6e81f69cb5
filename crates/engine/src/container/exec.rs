//! One more process in a container that runs.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use monitor::{Status, TerminalSize, journal::Subject};
use oci_spec::runtime::{Process, Spec};
use runtime::{
    Stdio,
    cgroup::{Cgroup, Layout},
};

use super::{
    spec,
    start::{launch_error, with_links},
    status::Container,
};
use crate::{Engine, error::EngineError};

/// What to execute. What is left open is as for the container's own process.
#[derive(Debug, Clone, Default)]
pub struct Exec {
    pub arguments: Vec<String>,
    pub env: Vec<String>,
    pub working_directory: Option<String>,
    pub user: Option<String>,
    pub privileged: bool,
    pub tty: bool,
}

/// Where the process's standard streams lead.
#[derive(Debug)]
pub enum ExecIo {
    Descriptors([OwnedFd; 3]),
    Terminal(TerminalSize),
}

/// A process that is about to be started, and where.
struct Prepared {
    id: String,
    subject: Subject,
    spec: Spec,
    process: Process,
    init: OwnedFd,
    cgroup: Cgroup,
}

/// A process that was started in a container, a child of this one.
#[derive(Debug)]
pub struct Execution {
    process: sys::process::Child,
    subject: Subject,
    id: String,
    /// The master of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
}

impl Execution {
    /// Waits for its end; its exit code, or 128 and the number of the signal that killed it.
    pub fn wait(self) -> io::Result<u8> {
        let code = self.process.wait()?;
        self.subject.note("exec_die", &[("execID", &self.id), ("exitCode", &code.to_string())]);
        Ok(code)
    }

    /// Notes that its user has left it to itself.
    pub fn note_detached(&self) {
        self.subject.note("exec_detach", &[("execID", &self.id)]);
    }
}

/// Readable when the process has ended.
impl AsFd for Execution {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.pidfd.as_fd()
    }
}

impl Engine {
    /// Leaves a process to itself. How it ends is noted, and its terminal, if it has one with this `master`, stays open for
    /// as long as it or the container runs.
    pub fn leave_alone(
        &self,
        container: &Container,
        execution: &Execution,
        master: Option<BorrowedFd<'_>>,
    ) -> Result<(), EngineError> {
        Ok(monitor::leave_alone(&container.directory, &execution.id, execution.as_fd(), master)?)
    }

    /// Starts a process in a running container. Needs a process of one thread that runs from a sealed program; see
    /// [`sys::sealed`].
    pub fn exec(&self, container: &Container, request: Exec, io: ExecIo) -> Result<Execution, EngineError> {
        let stdio = match io {
            ExecIo::Descriptors(descriptors) => Stdio::Descriptors(descriptors),
            ExecIo::Terminal(size) => Stdio::Terminal { columns: size.columns, rows: size.rows },
        };
        self.prepare(container, request)?.start(stdio)
    }

    /// Starts a process in a running container that nobody waits for, as the child of the container's monitor, who notes how it
    /// ends: with nothing to read and nobody to write to, or on a terminal of its own.
    ///
    /// If that monitor is one of an older program, needs what [`Engine::exec`] does.
    pub fn exec_detached(
        &self,
        container: &Container,
        request: Exec,
        terminal: Option<TerminalSize>,
    ) -> Result<(), EngineError> {
        let prepared = self.prepare(container, request)?;
        if monitor::execute(&container.directory, &prepared.id, &prepared.process, terminal)
            .map_err(launch_error)?
        {
            return Ok(());
        }
        let stdio = match terminal {
            Some(TerminalSize { columns, rows }) => Stdio::Terminal { columns, rows },
            None => {
                let null = OwnedFd::from(File::options().read(true).write(true).open("/dev/null")?);
                Stdio::Descriptors([null.try_clone()?, null.try_clone()?, null])
            }
        };
        let execution = prepared.start(stdio)?;
        let master = execution.terminal.as_ref().map(AsFd::as_fd);
        self.leave_alone(container, &execution, master)
    }

    fn prepare(&self, container: &Container, request: Exec) -> Result<Prepared, EngineError> {
        let not_running = || EngineError::NotRunning(container.id.to_string());
        let started = match container.status()? {
            Status::Running(started) => started,
            Status::Paused(_) => return Err(EngineError::PausedForExec(container.name.clone())),
            Status::Restarting(_) => return Err(EngineError::Restarting(container.id)),
            Status::Created | Status::Exited(_) => return Err(not_running()),
        };
        let init = started.process()?.ok_or_else(not_running)?;
        let spec =
            runtime::bundle::load(&container.directory).map_err(|error| container.file_error(error))?;
        let linked = self.linked(container)?;
        let mut config = with_links(container, &linked).into_owned();
        config.entrypoint = Vec::new();
        config.command = request.arguments;
        config.tty = request.tty;
        if request.privileged {
            config.privileged = true;
            config.cap_drop.clear();
        }
        config.env.extend(request.env);
        config.user = request.user.unwrap_or(config.user);
        config.working_directory = request.working_directory.unwrap_or(config.working_directory);
        // As docker has it, with a space after a command that has no arguments.
        let (program, arguments) =
            config.command.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
        let command = format!("{program} {}", arguments.join(" "));
        let id = crate::names::random_id::<()>()?.to_string();
        self.note(container, &format!("exec_create: {command}"), &[("execID", &id)]);
        let process = spec::process(&config)?;
        let layout = Layout::detect()?;
        let cgroup =
            Cgroup::open(&layout, &self.cgroup_parent_of(&container.config), &container.id.to_string());
        let subject = self.subject(container);
        // Before it can fail, as docker has it.
        subject.note(&format!("exec_start: {command}"), &[("execID", &id)]);
        Ok(Prepared { id, subject, spec, process, init, cgroup })
    }
}

impl Prepared {
    fn start(self, stdio: Stdio) -> Result<Execution, EngineError> {
        let Prepared { id, subject, spec, process, init, cgroup } = self;
        let started =
            runtime::enter(&spec, &process, init.as_fd(), &cgroup, stdio).map_err(EngineError::Start)?;
        Ok(Execution { process: started.child, terminal: started.terminal, subject, id })
    }
}
