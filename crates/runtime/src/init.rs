//! The first process of a container, from the moment it exists until it is the program.
//!
//! It is a copy of a process with one thread and nothing but the start in mind, so it may allocate like any
//! other. Step by step it exchanges what it sees for what the container sees.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use rustix::process::DumpableBehavior;
use sys::{
    channel::Channel,
    process::{Namespaces, close_on_exec_from, unshare},
    signals,
};

use crate::{
    bundle, cgroup,
    confidential::Confidential,
    failure::{Context, Failure},
    process::{Place, become_process, fail},
    rootfs::{self, Terminal},
    start::{Joined, Stdio, TERMINAL, namespaces},
};

/// What the child is given at birth.
pub struct Birth<'a> {
    pub spec: &'a Spec,
    pub process: &'a Process,
    pub bundle: &'a Path,
    pub confidential: &'a Confidential,
    pub cgroups: &'a cgroup::Layout,
    pub entry: &'a cgroup::Entry,
    pub joined: Joined,
    pub stdio: Stdio,
}

/// Lives through the start in the child. `report` is the way to the parent.
pub fn live(birth: Birth<'_>, report: Channel) -> ! {
    let (spec, process) = (birth.spec, birth.process);
    match set_up(birth, &report) {
        Ok(()) => {
            let place = if bundle::has(spec, bundle::INIT) { Place::BehindReaper } else { Place::First };
            become_process(spec, process, place, report)
        }
        Err(failure) => fail(&failure, &report),
    }
}

fn set_up(birth: Birth<'_>, report: &Channel) -> Result<(), Failure> {
    let Birth { spec, process, bundle, confidential, cgroups, entry, joined, stdio } = birth;
    leave_the_caller_behind(process)?;
    entry.join().context("joining the cgroups")?;
    joined.enter()?;
    // Only now: the namespace's root is the cgroup its maker is in.
    if has_own_cgroup_namespace(spec) {
        unshare(Namespaces::CGROUP).context("cgroup namespace")?;
    }

    let root = rootfs::set_up(spec, bundle, confidential, cgroups)?;
    match stdio {
        Stdio::Descriptors(descriptors) => use_descriptors(descriptors)?,
        Stdio::Terminal { columns, rows } => {
            let terminal = root.open_terminal(columns, rows)?;
            report.send(TERMINAL, &[terminal.master.as_fd()]).context("handing over the terminal")?;
            use_terminal(terminal)?;
        }
    }
    name_the_host(spec)?;
    write_sysctls(spec)?;
    wait_for_the_network(report)?;
    root.enter(spec)
}

fn has_own_cgroup_namespace(spec: &Spec) -> bool {
    let linux = spec.linux().as_ref();
    let mut listed = linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten();
    listed.any(|namespace| namespace.typ() == LinuxNamespaceType::Cgroup && namespace.path().is_none())
}

/// Nothing of the process that started the engine reaches the container.
pub(crate) fn leave_the_caller_behind(process: &Process) -> Result<(), Failure> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).context("dumpable")?;
    signals::reset().context("resetting signals")?;
    rustix::process::setsid().context("setsid")?;
    close_on_exec_from(3).context("closing descriptors")?;
    // Being nicer than the caller needs no privilege, but being less so does.
    let _ = rustix::process::setpriority_process(None, 0);
    let adjustment = process.oom_score_adj().unwrap_or(0).to_string();
    // A lower score than the caller's takes a privilege it may not have; a higher one is always allowed.
    match std::fs::write("/proc/self/oom_score_adj", adjustment) {
        Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => {
            Err(error).context("oom_score_adj")
        }
        _ => Ok(()),
    }
}

pub(crate) fn use_descriptors([input, output, errors]: [OwnedFd; 3]) -> Result<(), Failure> {
    rustix::stdio::dup2_stdin(&input).context("standard input")?;
    rustix::stdio::dup2_stdout(&output).context("standard output")?;
    rustix::stdio::dup2_stderr(&errors).context("standard error")
}

/// Makes the terminal the process's standard streams and its controlling terminal.
pub(crate) fn use_terminal(Terminal { slave, .. }: Terminal) -> Result<(), Failure> {
    rustix::process::ioctl_tiocsctty(&slave).context("controlling terminal")?;
    let copies = [slave.try_clone(), slave.try_clone()];
    let [Ok(output), Ok(errors)] = copies else {
        return Err(Failure::setup("no descriptor left for the terminal"));
    };
    use_descriptors([slave, output, errors])
}

/// Sets the names of the container's own UTS namespace. Without one they would be the host's.
fn name_the_host(spec: &Spec) -> Result<(), Failure> {
    let named = spec.hostname().is_some() || spec.domainname().is_some();
    if named && !namespaces(spec).contains(Namespaces::UTS) {
        return Err(Failure::setup("a hostname takes a UTS namespace of the container's own"));
    }
    if let Some(name) = spec.hostname() {
        rustix::system::sethostname(name.as_bytes()).context("setting the hostname")?;
    }
    if let Some(name) = spec.domainname() {
        rustix::system::setdomainname(name.as_bytes()).context("setting the domain name")?;
    }
    Ok(())
}

/// Sets kernel parameters of the container's own namespaces, through the host's /proc that is still there.
fn write_sysctls(spec: &Spec) -> Result<(), Failure> {
    let linux = spec.linux().as_ref();
    for (name, value) in linux.and_then(|linux| linux.sysctl().as_ref()).into_iter().flatten() {
        if name.contains('/') || name.contains("..") {
            return Err(Failure::setup(format_args!("invalid sysctl {name}")));
        }
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        std::fs::write(&path, value).context(format_args!("sysctl {name}={value}"))?;
    }
    Ok(())
}

/// The parent sets up the network meanwhile; it says when that is done, or is gone.
fn wait_for_the_network(report: &Channel) -> Result<(), Failure> {
    match report.receive().context("waiting for the network")? {
        Some(_) => Ok(()),
        None => Err(Failure::setup("the monitor went away during the start")),
    }
}
