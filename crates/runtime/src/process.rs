//! The last steps of a container's process: from a privileged child in the right namespaces to the program.
//!
//! `run` and `exec` end here alike, so what a process may do does not depend on how it was started.

use std::{io, os::fd::AsFd};

use oci_spec::runtime::{LinuxCapabilities, Process, Spec};
use rustix::{
    fs::{Mode, OFlags},
    process::Signal,
};
use sys::{channel::Channel, root};

use crate::{
    bundle,
    failure::{Context, Failure, FailureKind},
    identity::Identity,
    privileges,
    program::Program,
    reaper, seccomp,
};

/// Which process of its container this is going to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// PID 1. It dies with the process that started it, so that nothing runs unwatched.
    First,
    /// The child of a reaper that is PID 1.
    BehindReaper,
    /// One that joins later; it may outlive whoever started it.
    Guest,
}

/// Turns the calling process, already inside the container, into `process`.
///
/// `report` closes when the program takes over; if that fails, the reason is sent through it first.
pub fn become_process(spec: &Spec, process: &Process, place: Place, report: Channel) -> ! {
    if place == Place::BehindReaper {
        // Before anything is given up: the filter may forbid making processes this way.
        match reaper::split() {
            Ok(reaper::Half::Program) => {}
            Ok(reaper::Half::Reaper(child)) => {
                drop(report);
                // A reaper that cannot be confined must not go on; the program dies with it.
                let code = confine(spec, process, place).map_or(255, |_| reaper::reap(&child));
                std::process::exit(code)
            }
            Err(failure) => fail(&failure, &report),
        }
    }
    let program = confine(spec, process, place).and_then(|identity| find(process, &identity));
    let failure = match program {
        Ok(program) => program.exec(),
        Err(failure) => failure,
    };
    fail(&failure, &report)
}

/// Sends `failure` to the process that waits for the start, and ends.
pub(crate) fn fail(failure: &Failure, report: &Channel) -> ! {
    let message = serde_json::to_vec(failure).expect("two plain fields always serialise");
    // If nobody waits any more, nobody wants to know.
    let _ = report.send(&message, &[]);
    std::process::exit(i32::from(failure.kind.exit_code()))
}

/// Gives up everything that `process` is not to have, and becomes its user.
fn confine(spec: &Spec, process: &Process, place: Place) -> Result<Identity, Failure> {
    let slash = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .context("opening the root")?;
    let mut identity = identity(&slash, process)?;
    if let Some(groups) = bundle::said(spec, bundle::GROUPS) {
        identity.join(slash.as_fd(), groups.split(','))?;
    }
    rustix::process::umask(Mode::from_raw_mode(process.user().umask().unwrap_or(0o022)));
    privileges::limit(process.rlimits().as_deref().unwrap_or_default())?;
    enter_working_directory(&slash, process, place)?;

    let none = LinuxCapabilities::default();
    let capabilities = process.capabilities().as_ref().unwrap_or(&none);
    let filter = seccomp_filter(spec, capabilities)?;
    if process.no_new_privileges().unwrap_or(false) {
        rustix::thread::set_no_new_privs(true).context("no_new_privs")?;
    }
    // Installing a filter without no_new_privs takes CAP_SYS_ADMIN, so it comes before that goes. What is left
    // to do after it (prctl, setuid and their like) every profile has to allow anyway.
    if let Some(filter) = filter {
        filter.install().context("installing the seccomp filter")?;
    }
    privileges::bound(capabilities)?;
    privileges::become_user(&identity, capabilities)?;
    if place != Place::Guest {
        // After the change of user, which clears it.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).context("death signal")?;
    }
    Ok(identity)
}

fn find(process: &Process, identity: &Identity) -> Result<Program, Failure> {
    let mut environment = process.env().clone().unwrap_or_default();
    if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
        environment.push(format!("HOME={}", identity.home));
    }
    Program::find(process.args().as_deref().unwrap_or_default(), &environment)
}

/// The user by name where the engine was given one, else by the specification's numbers.
fn identity(slash: impl AsFd, process: &Process) -> Result<Identity, Failure> {
    let user = process.user();
    let mut identity = match user.username() {
        Some(name) => Identity::look_up(slash.as_fd(), name)?,
        None => Identity::look_up(slash.as_fd(), &format!("{}:{}", user.uid(), user.gid()))?,
    };
    identity.groups.extend(user.additional_gids().iter().flatten());
    Ok(identity)
}

/// Changes to the working directory and makes sure it is inside. One that the image does not have is made for the
/// container itself, not for what is executed in it later.
fn enter_working_directory(slash: impl AsFd, process: &Process, place: Place) -> Result<(), Failure> {
    let path = process.cwd();
    let describe = || format!("working directory {}", path.display());
    let directory = match place {
        Place::Guest => root::open(slash.as_fd(), path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
            .map_err(|error| {
                let why = match error.kind() {
                    io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                    _ => error.to_string(),
                };
                let message = format!("chdir to cwd ({path:?}) set in config.json failed: {why}");
                Failure { kind: FailureKind::NotFound, message }
            })?,
        _ => {
            let made = root::open_or_create_directory(slash.as_fd(), path, Mode::from_raw_mode(0o755));
            made.map_err(|error| match error.kind() {
                io::ErrorKind::NotADirectory => {
                    Failure::setup(format_args!("Cannot mkdir: {} is not a directory", path.display()))
                }
                _ => Failure::setup(format_args!("{}: {error}", describe())),
            })?
        }
    };
    rustix::process::fchdir(directory).context(describe())?;
    // A directory outside the root has no path from it (CVE-2024-21626).
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) if path.to_bytes().starts_with(b"/") => Ok(()),
        _ => Err(Failure::setup(format_args!("{} is outside the container", describe()))),
    }
}

fn seccomp_filter(spec: &Spec, capabilities: &LinuxCapabilities) -> Result<Option<seccomp::Filter>, Failure> {
    if bundle::has(spec, bundle::SECCOMP_UNCONFINED) {
        return Ok(None);
    }
    let given = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let filter = match given {
        Some(profile) => seccomp::compile(profile),
        None => seccomp::compile(&seccomp::default_profile(capabilities.bounding().as_ref())),
    };
    filter.map(Some).map_err(|error| Failure::setup(format_args!("seccomp profile: {error}")))
}
