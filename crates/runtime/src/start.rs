//! Starting a container, as the process sees it that does: bundle in, running process out.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use rustix::{
    process::{Pid, Signal},
    thread::LinkNameSpaceType,
};
use sys::{
    channel::Channel,
    process::{Child, Fork, Namespaces, fork, fork_sibling, signal, unshare},
};

use crate::{
    bundle,
    cgroup::{self, Cgroup},
    confidential::Confidential,
    failure::{Context, Failure},
    held::Held,
    init::{self, Birth, become_root_of_the_namespace},
    privileges,
    process::fail,
    rootfs::{self, Lent, mapping_lines},
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
    handover: Handover,
}

/// A container whose first process is its program.
#[derive(Debug)]
pub struct Started {
    pub child: Child,
    /// The master of the terminal, if it has one.
    pub terminal: Option<OwnedFd>,
    /// What could not be done as asked, and the program runs without.
    pub warnings: Vec<String>,
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
    bear(spec, bundle, confidential, cgroups, cgroup, stdio, None)
}

/// As [`create`], for a container that waits at its gate once it has been started, whatever becomes of the calling
/// process.
pub fn create_held(
    spec: &Spec,
    bundle: &Path,
    cgroups: &cgroup::Layout,
    cgroup: &Cgroup,
    stdio: Stdio,
    held: Held,
) -> Result<Created, Failure> {
    bear(spec, bundle, &Confidential::default(), cgroups, cgroup, stdio, Some(held))
}

fn bear(
    spec: &Spec,
    bundle: &Path,
    confidential: &Confidential,
    cgroups: &cgroup::Layout,
    cgroup: &Cgroup,
    stdio: Stdio,
    held: Option<Held>,
) -> Result<Created, Failure> {
    let process =
        spec.process().as_ref().ok_or_else(|| Failure::setup("the specification has no process"))?;
    let entry = cgroup.entry().context("opening the cgroups")?;
    let (ours, theirs) = Channel::pair().context("socketpair")?;
    let mut joined = Joined::open(spec)?;
    let users = joined.take_users();
    let mut own = match users {
        None => joined.children_into_pid_namespace()?,
        Some(_) => Vec::new(),
    };
    own.extend(children_into_new_time(spec)?);
    let new = namespaces(spec);
    let has_users = is_in_another_namespace(spec, LinuxNamespaceType::User);
    let forked = match &users {
        None if !has_users => fork(new, entry.directory()).context(CREATING)?,
        None => {
            // From inside a new user namespace nobody can join what belongs to the host's.
            own.extend(joined.enter_for_a_while()?);
            fork(new, entry.directory()).context(CREATING)?
        }
        Some(users) => fork_inside(users.as_fd(), &mut joined, new, process, entry.directory())?,
    };
    match forked {
        Fork::Child => {
            drop(ours);
            let entry = &entry;
            init::live(
                Birth { spec, process, bundle, confidential, cgroups, cgroup, entry, joined, stdio, held },
                theirs,
            )
        }
        Fork::Parent(child) => {
            let created = Created { child, channel: ours, handover: Handover::default() };
            for (kind, own) in own {
                enter_namespace(own.as_fd(), kind)?;
                if kind == LinkNameSpaceType::Mount {
                    // Whoever enters one is at its root.
                    rustix::process::chdir(bundle).context("returning to the bundle")?;
                }
            }
            if has_users && let Err(failure) = created.set_up_users(spec, bundle, confidential) {
                return Err(created.abandon().unwrap_or(failure));
            }
            Ok(created)
        }
    }
}

/// As [`fork`], for a child in the user namespace `users`, whose namespaces are then owned by that. The caller must not enter
/// it, for it could not come back: a helper does, and makes the child as its sibling.
fn fork_inside(
    users: BorrowedFd<'_>,
    joined: &mut Joined,
    new: Namespaces,
    process: &Process,
    cgroup: Option<BorrowedFd<'_>>,
) -> Result<Fork, Failure> {
    let (ours, theirs) = Channel::pair().context("socketpair")?;
    match fork(Namespaces::NONE, cgroup).context(CREATING)? {
        Fork::Child => {
            drop(ours);
            privileges::make_room(None, process);
            let entered = joined
                .children_into_pid_namespace()
                .and_then(|_| joined.enter_for_a_while())
                .and_then(|_| enter_namespace(users, LinkNameSpaceType::User))
                .and_then(|()| become_root_of_the_namespace())
                .and_then(|()| fork_sibling(new).context(CREATING));
            match entered {
                Ok(Fork::Child) => Ok(Fork::Child),
                Ok(Fork::Parent(child)) => {
                    // If this fails, the child finds that it has no parent to wait for.
                    let _ =
                        theirs.send(&child.pid.as_raw_nonzero().get().to_ne_bytes(), &[child.pidfd.as_fd()]);
                    std::process::exit(0)
                }
                Err(failure) => fail(&failure, &theirs),
            }
        }
        Fork::Parent(helper) => {
            drop(theirs);
            let received = Handover::receive(&ours, &mut nobody_answers);
            reap(&helper);
            let child =
                received?.child.ok_or_else(|| Failure::setup("the process was killed while it started"))?;
            Ok(Fork::Parent(child))
        }
    }
}

/// Has the next child born into a new time namespace, if the specification asks for one. Gives back our own, to return
/// to.
fn children_into_new_time(spec: &Spec) -> Result<Option<(LinkNameSpaceType, OwnedFd)>, Failure> {
    let linux = spec.linux().as_ref();
    let listed = linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten();
    let mut new = listed.filter(|namespace| namespace.path().is_none());
    if !new.any(|namespace| namespace.typ() == LinuxNamespaceType::Time) {
        return Ok(None);
    }
    let own = File::open("/proc/self/ns/time").context("opening the time namespace")?;
    unshare(Namespaces::TIME).context("time namespace")?;
    for (clock, offset) in linux.and_then(|linux| linux.time_offsets().as_ref()).into_iter().flatten() {
        let (seconds, nanoseconds) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        std::fs::write("/proc/self/timens_offsets", format!("{clock} {seconds} {nanoseconds}\n"))
            .context(format_args!("offset of the clock {clock}"))?;
    }
    Ok(Some((LinkNameSpaceType::Time, own.into())))
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

    /// Takes the user namespace that is to be joined, if there is one. That is not entered like the others.
    fn take_users(&mut self) -> Option<OwnedFd> {
        let position = self.0.iter().position(|(kind, _)| *kind == LinuxNamespaceType::User)?;
        Some(self.0.remove(position).1)
    }

    /// Has the next child born in the process namespace that is to be joined, if there is one. Gives back our own, to
    /// return to.
    fn children_into_pid_namespace(&self) -> Result<Vec<(LinkNameSpaceType, OwnedFd)>, Failure> {
        let Some((_, theirs)) = self.0.iter().find(|(kind, _)| *kind == LinuxNamespaceType::Pid) else {
            return Ok(Vec::new());
        };
        let own = File::open("/proc/self/ns/pid").context("opening the process namespace")?;
        enter_namespace(theirs.as_fd(), LinkNameSpaceType::ProcessID)?;
        Ok(vec![(LinkNameSpaceType::ProcessID, own.into())])
    }

    /// Enters them before the child is born, who then has nothing left to join. Gives back our own, to return to.
    fn enter_for_a_while(&mut self) -> Result<Vec<(LinkNameSpaceType, OwnedFd)>, Failure> {
        let mut own = Vec::new();
        for (kind, _) in &self.0 {
            let Some(flag) = flag(*kind)? else { continue };
            let file = File::open(format!("/proc/self/ns/{kind}")).context("opening our own namespaces")?;
            own.push((flag, file.into()));
        }
        self.enter()?;
        self.0.clear();
        Ok(own)
    }

    /// Moves the calling thread into all of them but the process namespace, which it was born into.
    pub fn enter(&self) -> Result<(), Failure> {
        for (kind, namespace) in &self.0 {
            if let Some(kind) = flag(*kind)? {
                enter_namespace(namespace.as_fd(), kind)?;
            }
        }
        Ok(())
    }
}

/// What the kernel calls a kind of namespaces that a process can move into; `None` for the one it is born into.
fn flag(kind: LinuxNamespaceType) -> Result<Option<LinkNameSpaceType>, Failure> {
    Ok(Some(match kind {
        LinuxNamespaceType::Network => LinkNameSpaceType::Network,
        LinuxNamespaceType::Ipc => LinkNameSpaceType::InterProcessCommunication,
        LinuxNamespaceType::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        LinuxNamespaceType::Cgroup => LinkNameSpaceType::ControlGroup,
        LinuxNamespaceType::Time => LinkNameSpaceType::Time,
        LinuxNamespaceType::Pid => return Ok(None),
        LinuxNamespaceType::Mount => LinkNameSpaceType::Mount,
        LinuxNamespaceType::User => {
            return Err(Failure::setup("a user namespace is not entered like the others"));
        }
    }))
}

fn enter_namespace(namespace: BorrowedFd<'_>, kind: LinkNameSpaceType) -> Result<(), Failure> {
    rustix::thread::move_into_link_name_space(namespace, Some(kind)).context("joining a namespace")
}

impl Created {
    /// The network namespace to be set up before [`Created::start`].
    pub fn network_namespace(&self) -> io::Result<OwnedFd> {
        Ok(File::open(format!("/proc/{}/ns/net", self.child.pid.as_raw_nonzero()))?.into())
    }

    /// The container's first process.
    pub fn process(&self) -> &Child {
        &self.child
    }

    /// Waits until a container that is held, or has hooks, has set up its root and waits for those of its making.
    pub fn set_up(&mut self) -> Result<(), Failure> {
        match self.handover.collect(&self.channel, &mut nobody_answers)? {
            true => Ok(()),
            false => Err(Failure::setup("the process was killed while it started")),
        }
    }

    /// Says that the network is ready and waits until the program runs.
    pub fn start(self) -> Result<Started, Failure> {
        self.tell(GO, &mut nobody_answers)
    }

    /// The same of a container that has hooks, after [`Created::set_up`]: those before it is made get the state `creating`,
    /// those before it is started `created`.
    pub fn start_with(self, creating: &str, created: &str) -> Result<Started, Failure> {
        self.go_on(creating, created, &mut nobody_answers)
    }

    /// The same of a held container, and waits until it is at its gate. `listen` gets the means to answer the system calls
    /// that its filter notifies of, at once: the next may be one.
    pub fn go_on(self, creating: &str, created: &str, listen: Listen<'_>) -> Result<Started, Failure> {
        self.tell(format!("{creating}\0{created}").as_bytes(), listen)
    }

    fn tell(mut self, message: &[u8], listen: Listen<'_>) -> Result<Started, Failure> {
        // If the child is gone already, what it left to say is read below.
        let _ = self.channel.send(message, &[]);
        match self.handover.collect(&self.channel, listen) {
            Ok(_) => {
                let Handover { terminal, warnings, .. } = self.handover;
                Ok(Started { child: self.child, terminal, warnings })
            }
            Err(failure) => {
                // It ends by itself, unless it is our side that failed.
                let _ = signal(self.child.pidfd.as_fd(), Signal::KILL.as_raw());
                reap(&self.child);
                Err(failure)
            }
        }
    }

    /// Does for a container in a user namespace what takes the host's privileges, and lets it go on.
    fn set_up_users(&self, spec: &Spec, bundle: &Path, confidential: &Confidential) -> Result<(), Failure> {
        if namespaces(spec).contains(Namespaces::USER) {
            self.map_users(spec)?;
            spec.process().iter().for_each(|process| privileges::make_room(Some(self.child.pid), process));
        }
        if lends(spec) {
            let Lent { root, mounts } = rootfs::lend(spec, bundle, confidential, self.child.pid)?;
            for mount in std::iter::once(root).chain(mounts) {
                self.channel.send(LENT, &[mount.as_fd()]).context("lending mounts")?;
            }
        }
        self.channel.send(GO, &[]).context("mapping users")
    }

    /// Says which of the host's users and groups are which in the container's user namespace.
    fn map_users(&self, spec: &Spec) -> Result<(), Failure> {
        let linux = spec.linux().as_ref();
        let users = linux.and_then(|linux| linux.uid_mappings().as_deref()).unwrap_or_default();
        let groups = linux.and_then(|linux| linux.gid_mappings().as_deref()).unwrap_or_default();
        if users.is_empty() || groups.is_empty() {
            return Err(Failure::setup("user namespaces enabled, but no user mappings found"));
        }
        let process = format!("/proc/{}", self.child.pid.as_raw_nonzero());
        std::fs::write(format!("{process}/uid_map"), mapping_lines(users)).context("mapping users")?;
        std::fs::write(format!("{process}/gid_map"), mapping_lines(groups)).context("mapping groups")
    }

    /// Ends a container that is not to start after all. If it has failed by itself before, that is why.
    pub fn abandon(self) -> Option<Failure> {
        // It fails only if the process is gone, which is what is wanted.
        let _ = signal(self.child.pidfd.as_fd(), Signal::KILL.as_raw());
        reap(&self.child);
        Handover::receive(&self.channel, &mut nobody_answers).err()
    }
}

/// What is done with the descriptor through which another process answers system calls. See seccomp_unotify(2).
pub type Listen<'a> = &'a mut dyn FnMut(OwnedFd) -> Result<(), Failure>;

/// For starts that nobody is named for to answer.
pub(crate) fn nobody_answers(_: OwnedFd) -> Result<(), Failure> {
    Err(Failure::setup("the seccomp profile has calls to notify of, and nobody to answer"))
}

/// What a starting process hands to the one that waits for it.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    pub terminal: Option<OwnedFd>,
    pub child: Option<Child>,
    pub warnings: Vec<String>,
}

impl Handover {
    /// Collects what comes through `channel` until the program runs, or the reason why it does not.
    pub fn receive(channel: &Channel, listen: Listen<'_>) -> Result<Handover, Failure> {
        let mut handover = Handover::default();
        handover.collect(channel, listen)?;
        Ok(handover)
    }

    /// The same, or until the process is ready for hooks: `true`.
    pub fn collect(&mut self, channel: &Channel, listen: Listen<'_>) -> Result<bool, Failure> {
        while let Some(message) = channel.receive().context("waiting for the start")? {
            let descriptor = message.descriptors.into_iter().next();
            match (message.bytes.as_slice(), descriptor) {
                (TERMINAL, Some(master)) => self.terminal = Some(master),
                (LISTENER, Some(listener)) => listen(listener)?,
                (READY, None) => return Ok(true),
                (pid, Some(pidfd)) => {
                    let pid = pid.try_into().ok().map(i32::from_ne_bytes).and_then(Pid::from_raw);
                    self.child = pid.map(|pid| Child { pid, pidfd });
                }
                (warning, None) if warning.starts_with(WARNING) => {
                    self.warnings.push(String::from_utf8_lossy(&warning[WARNING.len()..]).into_owned());
                }
                (failure, None) => {
                    let failure = serde_json::from_slice(failure).map_err(io::Error::from);
                    return Err(failure.context("reading why the start failed")?);
                }
            }
        }
        Ok(false)
    }
}

/// Collects a child that is ending.
pub(crate) fn reap(child: &Child) {
    // It is ours and has not been waited for, so this cannot fail.
    let _ = child.wait();
}

/// Whether the container gets mounts that it cannot make itself: another engine has prepared everything for its own.
pub(crate) fn lends(spec: &Spec) -> bool {
    is_in_another_namespace(spec, LinuxNamespaceType::User) && !bundle::is_to_the_letter(spec)
}

/// Whether the specification has the container in a namespace of this kind that is not the host's.
pub(crate) fn is_in_another_namespace(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    let linux = spec.linux().as_ref();
    let mut listed = linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten();
    listed.any(|namespace| namespace.typ() == kind)
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
/// The child's message that comes with the listener of its filter.
pub(crate) const LISTENER: &[u8] = b"listener";
/// The child's message that it waits for the hooks.
pub(crate) const READY: &[u8] = b"ready";
/// What the child's messages begin with that tell of something it does without.
pub(crate) const WARNING: &[u8] = b"warning: ";
/// The parent's message that comes with a mount it lends.
pub(crate) const LENT: &[u8] = b"lent";
/// The parent's message that it has done its part.
const GO: &[u8] = b"go";

const CREATING: &str = "creating the container's process";
