//! One container, whatever state it is in, and what can be done to it.

use std::{
    fmt,
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use oci_spec::runtime::{LinuxNamespaceType, LinuxResources, Spec};
use runtime::{
    Gate,
    cgroup::{Cgroup, Layout},
    hooks,
};
use rustix::{
    fs::{FlockOperation, fcntl_lock},
    io::Errno,
    process::{PidfdFlags, pidfd_open},
};
use serde_json::{Value, json};
use types::Signal;

use crate::{OciError, error::Context, record::Record, store::remove, systemd};

#[derive(Debug, Clone)]
pub struct Container {
    pub(crate) directory: PathBuf,
    pub(crate) record: Record,
}

/// What a container's first process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Container {
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The specification, as it is carried out.
    pub fn spec(&self) -> Result<Spec, OciError> {
        runtime::bundle::load(&self.directory).context("reading the container's configuration")
    }

    /// What its process is doing at this moment.
    pub fn status(&self) -> Result<Status, OciError> {
        if self.record.init.is_none() && Lock::try_take(&self.directory.join(LOCK))?.is_none() {
            // Whoever makes it holds the lock.
            return Ok(Status::Creating);
        }
        self.settled_status()
    }

    /// The same of one that nobody is making just now.
    fn settled_status(&self) -> Result<Status, OciError> {
        let Some(init) = &self.record.init else { return Ok(Status::Stopped) };
        if init.process().context("looking for the container's process")?.is_none() {
            return Ok(Status::Stopped);
        }
        if self.cgroup()?.is_frozen()? {
            return Ok(Status::Paused);
        }
        let waits = Gate::is_shut(&self.gate()).context("looking at the container's gate")?;
        Ok(if waits { Status::Created } else { Status::Running })
    }

    /// Its first process, if that exists.
    pub(crate) fn process(&self) -> Result<Option<OwnedFd>, OciError> {
        let process = self.record.init.as_ref().map(|init| init.process()).transpose();
        Ok(process.context("looking for the container's process")?.flatten())
    }

    pub fn cgroup(&self) -> Result<Cgroup, OciError> {
        Ok(Cgroup::open(&Layout::detect()?, "", &self.record.cgroup))
    }

    pub(crate) fn gate(&self) -> PathBuf {
        self.directory.join("gate")
    }

    /// What the specification says a runtime tells of a container.
    pub fn state(&self, status: Status) -> Value {
        let record = &self.record;
        let mut state = json!({
            "ociVersion": record.oci_version,
            "id": record.id,
            "status": status,
            "bundle": record.bundle,
        });
        if let Some(init) = record.init.as_ref().filter(|_| status != Status::Stopped) {
            state["pid"] = init.pid.into();
        }
        if !record.annotations.is_empty() {
            state["annotations"] = json!(record.annotations);
        }
        state
    }

    /// The same with what users want to know besides.
    pub fn description(&self) -> Result<Value, OciError> {
        let status = self.status()?;
        let record = &self.record;
        let pid = record.init.as_ref().filter(|_| status != Status::Stopped).map_or(0, |init| init.pid);
        let mut description = json!({
            "ociVersion": record.oci_version,
            "id": record.id,
            "pid": pid,
            "status": status,
            "bundle": record.bundle,
            "rootfs": record.rootfs,
            "created": record.created,
        });
        if !record.annotations.is_empty() {
            description["annotations"] = json!(record.annotations);
        }
        description["owner"] = json!(record.owner);
        Ok(description)
    }

    /// Has a created container run its program. What only deserves a warning comes back.
    pub fn start(&self) -> Result<Vec<String>, OciError> {
        let _lock = self.lock()?;
        match self.settled_status()? {
            Status::Created => {}
            Status::Stopped => return Err(OciError::StartStopped),
            Status::Running => return Err(OciError::StartRunning),
            other => return Err(OciError::StartOther(other)),
        }
        if !Gate::open(&self.gate()).context("starting the container")? {
            return Err(OciError::StartStopped);
        }
        let spec = self.spec()?;
        let poststart = spec.hooks().as_ref().and_then(|hooks| hooks.poststart().as_ref());
        let state = self.state(Status::Running).to_string();
        // The program runs: a hook that fails now fails too late to keep it from that.
        Ok(hooks::run_all("poststart", poststart, state.as_bytes()))
    }

    /// Sends a signal to the first process, or with `all` to all of them.
    pub fn kill(&self, signal: Signal, all: bool) -> Result<(), OciError> {
        if all {
            return self.kill_all(signal);
        }
        let Some(process) = self.process()? else { return Err(OciError::NotRunning) };
        sys::process::signal(process.as_fd(), signal.number()).context("sending the signal")?;
        if signal == Signal::KILL {
            // What is frozen dies when it thaws, with the old cgroups.
            self.cgroup()?.thaw()?;
        }
        Ok(())
    }

    fn kill_all(&self, signal: Signal) -> Result<(), OciError> {
        let cgroup = self.cgroup()?;
        if signal == Signal::KILL {
            return Ok(cgroup.kill()?);
        }
        // Frozen, none makes others meanwhile, and no number changes hands.
        let is_frozen = cgroup.is_frozen()?;
        let frozen = !is_frozen && cgroup.freeze().is_ok();
        let sent = cgroup.pids().map(|pids| {
            for pid in pids {
                if let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) {
                    // One that has ended wants no signal any more.
                    let _ = sys::process::signal(process.as_fd(), signal.number());
                }
            }
        });
        if frozen {
            cgroup.thaw()?;
        }
        Ok(sent?)
    }

    pub fn pause(&self) -> Result<(), OciError> {
        match self.status()? {
            Status::Running | Status::Created => Ok(self.cgroup()?.freeze()?),
            _ => Err(OciError::NotRunning),
        }
    }

    pub fn resume(&self) -> Result<(), OciError> {
        match self.status()? {
            Status::Paused => Ok(self.cgroup()?.thaw()?),
            _ => Err(OciError::NotPaused),
        }
    }

    /// Changes the limits that `resources` mentions.
    pub fn update(&self, resources: &LinuxResources) -> Result<(), OciError> {
        if self.status()? == Status::Stopped {
            return Err(OciError::NotRunning);
        }
        self.cgroup()?.limit(resources)?;
        self.record.scope.iter().try_for_each(|unit| systemd::update(unit, resources))
    }

    /// Removes the container and what is left of it. One that runs is killed first if `force`. What only deserves a
    /// warning comes back.
    pub fn delete(self, force: bool) -> Result<Vec<String>, OciError> {
        let lock = self.lock()?;
        let status = self.settled_status()?;
        match status {
            Status::Stopped => {}
            Status::Created => self.end()?,
            _ if force => self.end()?,
            _ => return Err(OciError::DeleteRunning { id: self.record.id, status }),
        }
        let warnings = self.destroy();
        drop(lock);
        warnings
    }

    /// Kills the first process and waits for its end.
    fn end(&self) -> Result<(), OciError> {
        match self.kill(Signal::KILL, false) {
            Ok(()) | Err(OciError::NotRunning) => {}
            Err(error) => return Err(error),
        }
        let deadline = Instant::now() + PATIENCE;
        while self.process()?.is_some() {
            if Instant::now() >= deadline {
                return Err(OciError::Unkillable);
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Takes back what a container whose first process has ended has outside of it, and then forgets it.
    fn destroy(&self) -> Result<Vec<String>, OciError> {
        let spec = self.spec().ok();
        let linux = spec.as_ref().and_then(|spec| spec.linux().as_ref());
        let mut namespaces = linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten();
        let has_own_processes = namespaces
            .any(|namespace| namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none());
        let cgroup = self.cgroup()?;
        if !has_own_processes {
            // Its end is not that of those it left behind.
            cgroup.kill()?;
        }
        self.record.scope.iter().for_each(|unit| systemd::stop(unit));
        let mut warnings = Vec::new();
        match cgroup.remove() {
            // Others may have come to share it.
            Err(error) if !cgroup.pids()?.is_empty() => warnings.push(error.to_string()),
            removed => removed?,
        }
        remove(&self.directory)?;
        let poststop = spec.as_ref().and_then(|spec| spec.hooks().as_ref()?.poststop().as_ref());
        let state = self.state(Status::Stopped).to_string();
        warnings.append(&mut hooks::run_all("poststop", poststop, state.as_bytes()));
        Ok(warnings)
    }

    fn lock(&self) -> Result<Lock, OciError> {
        let lock = Lock::take(&self.directory.join(LOCK))?;
        // Whoever had it before may have deleted the container.
        match Record::read(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OciError::NotFound),
            _ => Ok(lock),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

/// The right to make, start or delete a container. One of a process, not of a descriptor: a container's first process, which
/// has all descriptors of its parent for a while, does not have it. Not to be asked for twice by one process.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path`, in a directory that is there.
    pub fn take(path: &Path) -> Result<Lock, OciError> {
        let file = Lock::open(path)?;
        rustix::io::retry_on_intr(|| fcntl_lock(&file, FlockOperation::LockExclusive))
            .context("locking the container")?;
        Ok(Lock { _file: file })
    }

    fn try_take(path: &Path) -> Result<Option<Lock>, OciError> {
        let file = Lock::open(path)?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(Errno::AGAIN | Errno::ACCESS) => Ok(None),
            Err(error) => Err(error).context("locking the container"),
        }
    }

    fn open(path: &Path) -> Result<File, OciError> {
        let opened = File::options().create(true).write(true).truncate(false).open(path);
        match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(OciError::NotFound),
            other => other.context("locking the container"),
        }
    }
}

pub(crate) const LOCK: &str = "lock";
/// How long a killed process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(1);
