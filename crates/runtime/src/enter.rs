//! Starting one more process in a container that runs: `exec`.
//!
//! A helper joins the container's cgroups and namespaces and makes the new process there, as a child of the
//! caller (CLONE_PARENT), which can then wait for it. The helper is gone before the program runs.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use rustix::{
    fs::{Mode, OFlags},
    process::Signal,
    thread::ThreadNameSpaceType,
};
use sys::{
    channel::Channel,
    process::{Fork, Namespaces, fork, fork_sibling, number_of, signal},
};

use crate::{
    cgroup::{Cgroup, Entry},
    failure::{Context, Failure},
    init::{become_root_of_the_namespace, leave_the_caller_behind, use_descriptors, use_terminal},
    privileges::make_room,
    process::{Place, become_process, fail},
    rootfs::{Terminal, has_own_mounts},
    start::{Handover, Listen, Started, Stdio, TERMINAL, is_in_another_namespace, nobody_answers, reap},
};

/// Starts `process` in the container whose first process `init` stands for, under the rules of `spec`.
///
/// The calling process must have no other threads and run from a sealed program (see [`sys::sealed`]).
pub fn enter(
    spec: &Spec,
    process: &Process,
    init: BorrowedFd<'_>,
    cgroup: &Cgroup,
    stdio: Stdio,
) -> Result<Started, Failure> {
    enter_with(spec, process, init, cgroup, stdio, 0, &mut nobody_answers)
}

/// As [`enter`], with this many of the caller's descriptors after the standard streams. What the filter notifies of is for
/// `listen`; see [`Created::go_on`](crate::Created::go_on).
pub fn enter_with(
    spec: &Spec,
    process: &Process,
    init: BorrowedFd<'_>,
    cgroup: &Cgroup,
    stdio: Stdio,
    preserved: u32,
    listen: Listen<'_>,
) -> Result<Started, Failure> {
    let entry = cgroup.entry().context("opening the cgroups")?;
    let (ours, theirs) = Channel::pair().context("socketpair")?;
    match fork(Namespaces::NONE, entry.directory()).context("starting a process")? {
        Fork::Child => {
            drop(ours);
            let joined = leave_the_caller_behind(spec, process, preserved)
                .and_then(|()| join(spec, process, init, &entry))
                .and_then(|()| fork_sibling(Namespaces::NONE).context("starting a process"));
            match joined {
                Ok(Fork::Child) => live(spec, process, stdio, theirs),
                Ok(Fork::Parent(child)) => {
                    let pid = child.pid.as_raw_nonzero().get().to_ne_bytes();
                    // If the caller is gone, the process runs on without it, as one it was detached from.
                    let _ = theirs.send(&pid, &[child.pidfd.as_fd()]);
                    std::process::exit(0)
                }
                Err(failure) => fail(&failure, &theirs),
            }
        }
        Fork::Parent(helper) => {
            drop(theirs);
            let mut handover = Handover::default();
            let received = handover.collect(&ours, listen);
            reap(&helper);
            if let Err(failure) = received {
                // Its number may come after its last words. It ends by itself, unless it is our side that failed.
                let _ = handover.collect(&ours, &mut nobody_answers);
                if let Some(child) = &handover.child {
                    let _ = signal(child.pidfd.as_fd(), Signal::KILL.as_raw());
                    reap(child);
                }
                return Err(failure);
            }
            let Handover { terminal, child, warnings } = handover;
            let child = child.ok_or_else(|| Failure::setup("the process was killed while it started"))?;
            Ok(Started { child, terminal, warnings })
        }
    }
}

/// Moves the helper into the container; its own process id stays outside, that of its children does not.
fn join(spec: &Spec, process: &Process, init: BorrowedFd<'_>, entry: &Entry) -> Result<(), Failure> {
    entry.join().context("joining the cgroups")?;
    let mut all = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::PROCESS_ID
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::CONTROL_GROUP;
    // The kernel refuses to let a process join what it is in already, of these two kinds.
    for (kind, flag) in [
        (LinuxNamespaceType::User, ThreadNameSpaceType::USER),
        (LinuxNamespaceType::Time, ThreadNameSpaceType::TIME),
    ] {
        if is_in_another_namespace(spec, kind) {
            all |= flag;
        }
    }
    if all.contains(ThreadNameSpaceType::USER) {
        make_room(None, process);
    }
    // That of a mount namespace of its own is where entering it leads.
    let root = if has_own_mounts(spec) { None } else { Some(root_of(init)?) };
    rustix::thread::move_into_thread_name_spaces(init, all).context("joining the namespaces")?;
    if let Some(root) = root {
        rustix::process::fchdir(root).context("entering the root")?;
        rustix::process::chroot(".").context("chroot")?;
    }
    if all.contains(ThreadNameSpaceType::USER) { become_root_of_the_namespace() } else { Ok(()) }
}

/// The root directory of a process.
fn root_of(process: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let path = format!("/proc/{}/root", number_of(process).context("the container's process")?);
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .context("opening the root")
}

/// Lives through the rest of the start, inside.
fn live(spec: &Spec, process: &Process, stdio: Stdio, report: Channel) -> ! {
    match connect(process, stdio, &report) {
        Ok(()) => become_process(spec, process, Place::Guest, &[], report),
        Err(failure) => fail(&failure, &report),
    }
}

fn connect(process: &Process, stdio: Stdio, report: &Channel) -> Result<(), Failure> {
    rustix::process::setsid().context("setsid")?;
    match stdio {
        Stdio::Descriptors(descriptors) => use_descriptors(descriptors),
        Stdio::Terminal { columns, rows } => {
            let slash =
                rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                    .context("opening the root")?;
            let terminal = Terminal::open(slash.as_fd(), columns, rows)?;
            report.send(TERMINAL, &[terminal.master.as_fd()]).context("handing over the terminal")?;
            use_terminal(terminal, process)
        }
    }
}
