//! Starting a container, as the process sees it that does: bundle in, running process out.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::{
    process::{Pid, Signal},
    thread::LinkNameSpaceType,
};
use sys::{
    channel::Channel,
    process::{Child, Fork, Namespaces, fork, signal},
};

use crate::{
    cgroup::{self, Cgroup},
    confidential::Confidential,
    failure::{Context, Failure},
    init::{self, Birth},
};

/// Where the process's standard streams lead.
#[derive(Debug)]
pub enum Stdio {
    /// Input, output, errors.
    Descriptors([OwnedFd; 3]),
    /// A new terminal of the container's own, of this size.
    Terminal { columns: u16, rows: u16 },
}

/// A container whose first process exists and waits for its network.
#[derive(Debug)]
pub struct Created {
    child: Child,
    channel: Channel,
}

/// A container whose first process is its program.
#[derive(Debug)]
pub struct Started {
    pub child: Child,
    /// The master of the terminal, if it has one.
    pub terminal: Option<OwnedFd>,
}

/// Makes the container's first process in namespaces of its own and lets it set up its root. The calling
/// process must have no other threads.
pub fn create(
    spec: &Spec,
    bundle: &Path,
    confidential: &Confidential,
    cgroups: &cgroup::Layout,
    cgroup: &Cgroup,
    stdio: Stdio,
) -> Result<Created, Failure> {
    let process =
        spec.process().as_ref().ok_or_else(|| Failure::setup("the specification has no process"))?;
    let entry = cgroup.entry().context("opening the cgroups")?;
    let (ours, theirs) = Channel::pair().context("socketpair")?;
    let joined = Joined::open(spec)?;
    let own = joined.children_into_pid_namespace()?;
    match fork(namespaces(spec), entry.directory()).context("creating the container's process")? {
        Fork::Child => {
            drop(ours);
            let birth = Birth { spec, process, bundle, confidential, cgroups, entry: &entry, joined, stdio };
            init::live(birth, theirs)
        }
        Fork::Parent(child) => {
            if let Some(own) = own {
                enter_namespace(own.as_fd(), LinkNameSpaceType::ProcessID)?;
            }
            Ok(Created { child, channel: ours })
        }
    }
}

/// The namespaces of others that the specification has the container join, by path.
pub(crate) struct Joined(Vec<(LinuxNamespaceType, OwnedFd)>);

impl Joined {
    fn open(spec: &Spec) -> Result<Joined, Failure> {
        let linux = spec.linux().as_ref();
        let listed = linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten();
        let mut joined = Vec::new();
        for namespace in listed {
            let Some(path) = namespace.path() else { continue };
            let file = File::open(path).context(format_args!("opening {}", path.display()))?;
            joined.push((namespace.typ(), file.into()));
        }
        Ok(Joined(joined))
    }

    /// Has the next child born in the process namespace that is to be joined, if there is one. Gives back our own, to
    /// return to.
    fn children_into_pid_namespace(&self) -> Result<Option<OwnedFd>, Failure> {
        let Some((_, theirs)) = self.0.iter().find(|(kind, _)| *kind == LinuxNamespaceType::Pid) else {
            return Ok(None);
        };
        let own = File::open("/proc/self/ns/pid").context("opening the process namespace")?;
        enter_namespace(theirs.as_fd(), LinkNameSpaceType::ProcessID)?;
        Ok(Some(own.into()))
    }

    /// Moves the calling thread into all of them but the process namespace, which it was born into.
    pub fn enter(&self) -> Result<(), Failure> {
        for (kind, namespace) in &self.0 {
            let kind = match kind {
                LinuxNamespaceType::Network => LinkNameSpaceType::Network,
                LinuxNamespaceType::Ipc => LinkNameSpaceType::InterProcessCommunication,
                LinuxNamespaceType::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
                LinuxNamespaceType::Cgroup => LinkNameSpaceType::ControlGroup,
                LinuxNamespaceType::Pid => continue,
                other => {
                    return Err(Failure::setup(format_args!("cannot join a namespace of type {other:?}")));
                }
            };
            enter_namespace(namespace.as_fd(), kind)?;
        }
        Ok(())
    }
}

fn enter_namespace(namespace: BorrowedFd<'_>, kind: LinkNameSpaceType) -> Result<(), Failure> {
    rustix::thread::move_into_link_name_space(namespace, Some(kind)).context("joining a namespace")
}

impl Created {
    /// The network namespace to be set up before [`Created::start`].
    pub fn network_namespace(&self) -> io::Result<OwnedFd> {
        Ok(File::open(format!("/proc/{}/ns/net", self.child.pid.as_raw_nonzero()))?.into())
    }

    /// Says that the network is ready and waits until the program runs.
    pub fn start(self) -> Result<Started, Failure> {
        // If the child is gone already, what it left to say is read below.
        let _ = self.channel.send(GO, &[]);
        match Handover::receive(&self.channel) {
            Ok(handover) => Ok(Started { child: self.child, terminal: handover.terminal }),
            Err(failure) => {
                reap(&self.child);
                Err(failure)
            }
        }
    }

    /// Ends a container that is not to start after all. If it has failed by itself before, that is why.
    pub fn abandon(self) -> Option<Failure> {
        // It fails only if the process is gone, which is what is wanted.
        let _ = signal(self.child.pidfd.as_fd(), Signal::KILL.as_raw());
        reap(&self.child);
        Handover::receive(&self.channel).err()
    }
}

/// What a starting process hands to the one that waits for it.
#[derive(Default)]
pub(crate) struct Handover {
    pub terminal: Option<OwnedFd>,
    pub child: Option<Child>,
}

impl Handover {
    /// Collects what comes through `channel` until the program runs, or the reason why it does not.
    pub fn receive(channel: &Channel) -> Result<Handover, Failure> {
        let mut handover = Handover::default();
        while let Some(message) = channel.receive().context("waiting for the start")? {
            let descriptor = message.descriptors.into_iter().next();
            match (message.bytes.as_slice(), descriptor) {
                (TERMINAL, Some(master)) => handover.terminal = Some(master),
                (pid, Some(pidfd)) => {
                    let pid = pid.try_into().ok().map(i32::from_ne_bytes).and_then(Pid::from_raw);
                    handover.child = pid.map(|pid| Child { pid, pidfd });
                }
                (failure, None) => {
                    let failure = serde_json::from_slice(failure).map_err(io::Error::from);
                    return Err(failure.context("reading why the start failed")?);
                }
            }
        }
        Ok(handover)
    }
}

/// Collects a child that is ending.
pub(crate) fn reap(child: &Child) {
    // It is ours and has not been waited for, so this cannot fail.
    let _ = child.wait();
}

/// The namespaces the specification gives the container anew. The cgroup namespace is made by the child, once
/// it is in its cgroup.
pub(crate) fn namespaces(spec: &Spec) -> Namespaces {
    let linux = spec.linux().as_ref();
    let listed = linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten();
    listed.filter(|namespace| namespace.path().is_none()).fold(Namespaces::NONE, |all, namespace| {
        all | match namespace.typ() {
            LinuxNamespaceType::Mount => Namespaces::MOUNT,
            LinuxNamespaceType::Pid => Namespaces::PID,
            LinuxNamespaceType::Network => Namespaces::NETWORK,
            LinuxNamespaceType::Ipc => Namespaces::IPC,
            LinuxNamespaceType::Uts => Namespaces::UTS,
            LinuxNamespaceType::User => Namespaces::USER,
            LinuxNamespaceType::Cgroup | LinuxNamespaceType::Time => Namespaces::NONE,
        }
    })
}

/// The child's message that comes with the terminal's master.
pub(crate) const TERMINAL: &[u8] = b"terminal";
/// The parent's message that the network is ready.
const GO: &[u8] = b"go";
