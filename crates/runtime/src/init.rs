//! The first process of a container, from the moment it exists until it is the program.
//!
//! It is a copy of a process with one thread and nothing but the start in mind, so it may allocate like any
//! other. Step by step it exchanges what it sees for what the container sees.

use std::{
    collections::VecDeque,
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
    bundle,
    cgroup::{self, Cgroup},
    confidential::Confidential,
    failure::{Context, Failure},
    held::{Held, Way},
    hooks,
    process::{Place, become_held, become_process, fail},
    rootfs::{self, Lent, Terminal},
    start::{Joined, LENT, READY, Stdio, TERMINAL, is_in_another_namespace, namespaces},
};

/// What the child is given at birth.
pub struct Birth<'a> {
    pub spec: &'a Spec,
    pub process: &'a Process,
    pub bundle: &'a Path,
    pub confidential: &'a Confidential,
    pub cgroups: &'a cgroup::Layout,
    pub cgroup: &'a Cgroup,
    pub entry: &'a cgroup::Entry,
    pub joined: Joined,
    pub stdio: Stdio,
    /// `None` for a container that is watched by the process that makes it, and started at once.
    pub held: Option<Held>,
}

/// Lives through the start in the child. `report` is the way to the parent.
pub fn live(mut birth: Birth<'_>, report: Channel) -> ! {
    let (spec, process) = (birth.spec, birth.process);
    let held = birth.held.take();
    match (set_up(birth, held.as_ref(), &report), held) {
        (Ok(state), Some(held)) => become_held(spec, process, held.gate, &state, report),
        (Ok(state), None) => {
            let place = if bundle::has(spec, bundle::INIT) { Place::BehindReaper } else { Place::First };
            become_process(spec, process, place, &state, report)
        }
        (Err(failure), _) => fail(&failure, &report),
    }
}

/// Sets up everything around the process; the state for the hooks that come right before it.
fn set_up(birth: Birth<'_>, held: Option<&Held>, report: &Channel) -> Result<Vec<u8>, Failure> {
    let Birth { spec, process, bundle, confidential, cgroups, cgroup, entry, joined, stdio, .. } = birth;
    leave_the_caller_behind(spec, process, held.map_or(0, |held| held.preserved))?;
    let mut lent = None;
    if is_in_another_namespace(spec, LinuxNamespaceType::User) {
        // Nobody has a number here until the parent has written the mappings.
        lent = receive_mounts(report)?;
        become_root_of_the_namespace()?;
    }
    entry.join().context("joining the cgroups")?;
    joined.enter()?;
    // Only now: the namespace's root is the cgroup its maker is in.
    if rootfs::has_own_cgroup_namespace(spec) {
        unshare(Namespaces::CGROUP).context("cgroup namespace")?;
    }
    let is_set_up_from_outside = held.is_none() && !sys::rootless::is_rootless();
    if !is_set_up_from_outside && namespaces(spec).contains(Namespaces::NETWORK) {
        // Who may not come back from here, or does not watch its containers, leaves it to us.
        sys::loopback::up().context("setting the loopback interface up")?;
    }
    if let Some(name) = held.and_then(|held| held.keyring.as_deref()) {
        sys::process::join_session_keyring(name).context("session keyring")?;
    }

    let root = rootfs::set_up(spec, bundle, confidential, cgroups, cgroup, lent)?;
    match stdio {
        Stdio::Descriptors(descriptors) => use_descriptors(descriptors)?,
        Stdio::Terminal { columns, rows } => {
            let terminal = root.open_terminal(columns, rows)?;
            report.send(TERMINAL, &[terminal.master.as_fd()]).context("handing over the terminal")?;
            use_terminal(terminal, process)?;
        }
    }
    name_the_host(spec)?;
    let hooks = spec.hooks().as_ref();
    let waits_for_hooks = held.is_some() || hooks.is_some();
    if waits_for_hooks {
        report.send(READY, &[]).context("waiting for the hooks")?;
    } else {
        write_sysctls(spec)?;
    }
    let states = wait_for_the_parent(report)?;
    let mut states = states.splitn(2, |byte| *byte == 0).map(<[u8]>::to_vec);
    let (creating, created) = (states.next().unwrap_or_default(), states.next().unwrap_or_default());
    if waits_for_hooks {
        // Only now: some are of network interfaces that the hooks bring.
        write_sysctls(spec)?;
    }
    if hooks.is_some() {
        // What those hooks say by relative paths is meant from there.
        rustix::process::fchdir(&root).context("entering the root")?;
    }
    hooks::run("createContainer", hooks.and_then(|hooks| hooks.create_container().as_ref()), &creating)?;
    root.enter(spec, held.map_or(Way::Pivot, |held| held.way))?;
    Ok(created)
}

/// In a new user namespace a process is nobody until it says otherwise.
pub(crate) fn become_root_of_the_namespace() -> Result<(), Failure> {
    let (user, group) = (rustix::thread::Uid::ROOT, rustix::thread::Gid::ROOT);
    rustix::thread::set_thread_res_gid(group, group, group).context("setgid")?;
    rustix::thread::set_thread_res_uid(user, user, user).context("setuid")?;
    // Its own /proc files would belong to the host's root, who it is not.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).context("dumpable")
}

/// Nothing of the process that started the engine reaches the container.
pub(crate) fn leave_the_caller_behind(spec: &Spec, process: &Process, preserved: u32) -> Result<(), Failure> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).context("dumpable")?;
    signals::reset().context("resetting signals")?;
    rustix::process::setsid().context("setsid")?;
    close_on_exec_from(3 + preserved).context("closing descriptors")?;
    let adjustment = match process.oom_score_adj() {
        None if bundle::is_to_the_letter(spec) => return Ok(()),
        adjustment => adjustment.unwrap_or(0).to_string(),
    };
    // Being nicer than the caller needs no privilege, but being less so does.
    let _ = rustix::process::setpriority_process(None, 0);
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
pub(crate) fn use_terminal(Terminal { slave, .. }: Terminal, process: &Process) -> Result<(), Failure> {
    let user = process.user();
    if user.username().is_none() && user.uid() != 0 {
        // Who has a number and no name yet has it from a specification, and owns the terminal as by login.
        let owner = rustix::fs::Uid::from_raw(user.uid());
        rustix::fs::fchown(&slave, Some(owner), None).context("the terminal's owner")?;
    }
    rustix::process::ioctl_tiocsctty(&slave).context("controlling terminal")?;
    let copies = [slave.try_clone(), slave.try_clone()];
    let [Ok(output), Ok(errors)] = copies else {
        return Err(Failure::setup("no descriptor left for the terminal"));
    };
    use_descriptors([slave, output, errors])
}

/// Sets the names of the container's own UTS namespace. Without one they would be the host's.
fn name_the_host(spec: &Spec) -> Result<(), Failure> {
    // Another engine may write a name that is none.
    let is_given = |name: &&String| !name.is_empty();
    let (host, domain) =
        (spec.hostname().as_ref().filter(is_given), spec.domainname().as_ref().filter(is_given));
    if (host.is_some() || domain.is_some()) && !is_in_another_namespace(spec, LinuxNamespaceType::Uts) {
        return Err(Failure::setup("a hostname takes a UTS namespace of the container's own"));
    }
    if let Some(name) = host {
        rustix::system::sethostname(name.as_bytes()).context("setting the hostname")?;
    }
    if let Some(name) = domain {
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

/// Waits for the parent, and takes the mounts that it lends meanwhile.
fn receive_mounts(report: &Channel) -> Result<Option<Lent>, Failure> {
    let mut mounts = VecDeque::new();
    loop {
        let message = report.receive().context("waiting for the user namespace")?;
        let message = message.ok_or_else(|| Failure::setup(NO_PARENT))?;
        if message.bytes != LENT {
            return Ok(mounts.pop_front().map(|root| Lent { root, mounts }));
        }
        mounts.extend(message.descriptors);
    }
}

/// The parent does its part meanwhile: the network, mappings, hooks. It says when that is done, or is gone.
fn wait_for_the_parent(report: &Channel) -> Result<Vec<u8>, Failure> {
    match report.receive().context("waiting for the network")? {
        Some(message) => Ok(message.bytes),
        None => Err(Failure::setup(NO_PARENT)),
    }
}

const NO_PARENT: &str = "the monitor went away during the start";
