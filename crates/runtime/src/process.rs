//! The last steps of a container's process: from a privileged child in the right namespaces to the program.
//!
//! `run` and `exec` end here alike, so what a process may do does not depend on how it was started.

use std::{collections::HashSet, io, os::fd::AsFd};

use oci_spec::runtime::{LinuxCapabilities, LinuxCapabilitiesBuilder, Process, Spec};
use rustix::{
    fs::{Mode, OFlags},
    process::Signal,
};
use sys::{channel::Channel, root};

use crate::{
    bundle,
    failure::{Context, Failure, FailureKind},
    held::Gate,
    hooks,
    identity::Identity,
    labels, privileges,
    program::Program,
    reaper,
    scheduling::schedule,
    seccomp,
    start::{LISTENER, WARNING},
};

/// Which process of its container this is going to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// PID 1. It dies with the process that started it, so that nothing runs unwatched.
    First,
    /// The child of a reaper that is PID 1.
    BehindReaper,
    /// PID 1 of a container that nobody watches: it waits at its gate.
    Held,
    /// One that joins later; it may outlive whoever started it.
    Guest,
}

/// Turns the calling process, already inside the container, into `process`. The hooks that come right before that get
/// `state`; a guest has none.
///
/// `report` closes when the program takes over; if that fails, the reason is sent through it first.
pub fn become_process(spec: &Spec, process: &Process, place: Place, state: &[u8], report: Channel) -> ! {
    if place == Place::BehindReaper {
        // Before anything is given up: the filter may forbid making processes this way.
        match reaper::split() {
            Ok(reaper::Half::Program) => {}
            Ok(reaper::Half::Reaper(child)) => {
                // A reaper that cannot be confined must not go on; the program dies with it.
                let confined = confine(spec, process, place, &report);
                drop(report);
                let code = confined.map_or(255, |_| reaper::reap(&child));
                std::process::exit(code)
            }
            Err(failure) => fail(&failure, &report),
        }
    }
    let prepared = prepare(spec, process, place, &report).and_then(|program| {
        if place != Place::Guest {
            run_hooks(spec, state)?;
        }
        Ok(program)
    });
    let failure = match prepared {
        Ok(program) => program.exec(),
        Err(failure) => failure,
    };
    fail(&failure, &report)
}

/// Turns the calling process, already inside its container, into `process` once somebody opens `gate`. The hooks that
/// come right before that get `state`.
///
/// `report` closes when the process stands at the gate; if it does not come that far, the reason is sent through it.
/// What goes wrong later is said on the process's own standard error, for want of anybody else to hear it.
pub fn become_held(spec: &Spec, process: &Process, gate: Gate, state: &[u8], report: Channel) -> ! {
    let program = match prepare(spec, process, Place::Held, &report) {
        Ok(program) => program,
        Err(failure) => fail(&failure, &report),
    };
    drop(report);
    // Whoever opens the gate waits until it is closed, which it is by becoming the program or by ending.
    let opened = gate.wait().context("waiting for the start");
    let failed = opened.and_then(|open| run_hooks(spec, state).map(|()| open));
    match failed {
        Ok(_open) => eprintln!("{}", program.exec_or_say_why()),
        Err(failure) => eprintln!("{failure}"),
    }
    std::process::exit(255)
}

/// Runs the hooks that come right before the program, where it is and with what it may do.
fn run_hooks(spec: &Spec, state: &[u8]) -> Result<(), Failure> {
    let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.start_container().as_ref());
    hooks::run("startContainer", hooks, state)
}

/// Confines the process and finds its program.
fn prepare(spec: &Spec, process: &Process, place: Place, report: &Channel) -> Result<Program, Failure> {
    let Confined { identity, filter } = confine(spec, process, place, report)?;
    let program = find(process, &identity)?;
    if let Some(filter) = filter {
        install(&filter, report)?;
    }
    Ok(program)
}

/// Sends `failure` to the process that waits for the start, and ends.
pub(crate) fn fail(failure: &Failure, report: &Channel) -> ! {
    let message = serde_json::to_vec(failure).expect("two plain fields always serialise");
    // If nobody waits any more, nobody wants to know.
    let _ = report.send(&message, &[]);
    std::process::exit(i32::from(failure.kind.exit_code()))
}

/// A process that has nothing left of what it is not to have.
struct Confined {
    identity: Identity,
    /// Still to be installed, right before the program.
    filter: Option<seccomp::Filter>,
}

/// Gives up everything that `process` is not to have, and becomes its user.
fn confine(spec: &Spec, process: &Process, place: Place, report: &Channel) -> Result<Confined, Failure> {
    let slash = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .context("opening the root")?;
    let to_the_letter = bundle::is_to_the_letter(spec);
    let mut identity = match identity(&slash, process) {
        // A list of users that is none, or hidden, has no names and homes, but the numbers are given.
        Err(_) if to_the_letter => Identity {
            uid: process.user().uid(),
            gid: process.user().gid(),
            groups: Vec::new(),
            home: "/".to_owned(),
        },
        other => other?,
    };
    if to_the_letter {
        labels::apply(process)?;
        identity.groups = process.user().additional_gids().clone().unwrap_or_default();
    }
    if let Some(groups) = bundle::said(spec, bundle::GROUPS) {
        identity.join(slash.as_fd(), groups.split(','))?;
    }
    rustix::process::umask(Mode::from_raw_mode(process.user().umask().unwrap_or(0o022)));
    let limits = process.rlimits().as_deref().unwrap_or_default();
    match to_the_letter {
        true => {
            for warning in privileges::limit_as_far_as_possible(limits)? {
                let warning = [WARNING, warning.as_bytes()].concat();
                report.send(&warning, &[]).context("reporting a warning")?;
            }
            schedule(spec, process)?;
        }
        false => privileges::limit(limits)?,
    }
    enter_working_directory(&slash, process, place)?;

    let none = LinuxCapabilities::default();
    let none_at_all = LinuxCapabilitiesBuilder::default()
        .bounding(HashSet::new())
        .effective(HashSet::new())
        .permitted(HashSet::new())
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build();
    let none_at_all = none_at_all.map_err(Failure::setup)?;
    let unsaid = if to_the_letter { &none_at_all } else { &none };
    let capabilities = process.capabilities().as_ref().unwrap_or(unsaid);
    let mut filter = seccomp_filter(spec, capabilities)?;
    let mut late = None;
    if process.no_new_privileges().unwrap_or(false) {
        rustix::thread::set_no_new_privs(true).context("no_new_privs")?;
        if to_the_letter {
            // Another engine's profile may forbid what is left to do here, and takes no privilege to install later.
            late = filter.take();
        }
    }
    // Installing a filter without no_new_privs takes CAP_SYS_ADMIN, so it comes before that goes. What is left
    // to do after it (prctl, setuid and their like) every profile has to allow anyway.
    if let Some(filter) = filter {
        install(&filter, report)?;
    }
    privileges::bound(capabilities)?;
    match to_the_letter {
        true => privileges::become_user_with(&identity, capabilities)?,
        false => privileges::become_user(&identity, capabilities)?,
    }
    if matches!(place, Place::First | Place::BehindReaper) {
        // After the change of user, which clears it.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).context("death signal")?;
    }
    Ok(Confined { identity, filter: late })
}

/// Puts the process under its filter. Who is to answer for it gets the means through `report`.
fn install(filter: &seccomp::Filter, report: &Channel) -> Result<(), Failure> {
    match filter.install().context("installing the seccomp filter")? {
        Some(listener) => {
            report.send(LISTENER, &[listener.as_fd()]).context("handing over the seccomp listener")
        }
        None => Ok(()),
    }
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
        None if bundle::is_to_the_letter(spec) => return Ok(None),
        None => seccomp::compile(&seccomp::default_profile(capabilities.bounding().as_ref())),
    };
    filter.map(Some).map_err(|error| Failure::setup(format_args!("seccomp profile: {error}")))
}
