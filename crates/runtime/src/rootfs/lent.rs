//! Mounts that the host lends to a container with a user namespace of its own.
//!
//! The first process of such a container has no privileges over the host's file systems. It cannot have their files appear as
//! the container's, cannot stack layers that carry trusted attributes, and makes no devices. The process that starts it can,
//! and does so in the container's mount namespace. What comes of it are mounts that are attached nowhere, which the first
//! process is sent and attaches where they belong.
//!
//! What it mounts by itself is what belongs to its own namespaces: /proc, /sys, cgroups, terminals, queues, memory.

use std::{
    collections::VecDeque,
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::{Mount, Spec};
use rustix::{
    fs::{Mode, OFlags},
    process::Pid,
    thread::LinkNameSpaceType,
};

use super::{
    Options, aside, at, bind_depth, clone_source, devices, first_and_rest, is_at_dev, new_filesystem,
    overlay, owners, user_of,
};
use crate::{
    bundle::{MAP_OWNER, SECRET, SHARED_MEMORY},
    confidential::Confidential,
    failure::{Context, Failure},
    users::Users,
};

/// What was lent: the root, and mounts in the order of the specification.
#[derive(Debug)]
pub struct Lent {
    pub root: OwnedFd,
    pub mounts: VecDeque<OwnedFd>,
}

impl Lent {
    /// The mount for `entry`, if it is one that is lent.
    pub(super) fn take(&mut self, entry: &Mount) -> Result<Option<OwnedFd>, Failure> {
        match kind(entry) {
            None => Ok(None),
            Some(_) => match self.mounts.pop_front() {
                Some(tree) => Ok(Some(tree)),
                None => Err(Failure::setup("a mount was not lent")),
            },
        }
    }
}

/// Makes what `spec` has of mounts that are to be lent to the container whose first process is `process`. The calling process
/// must have no other threads.
pub fn lend(spec: &Spec, bundle: &Path, confidential: &Confidential, process: Pid) -> Result<Lent, Failure> {
    let users = Users::of(process)?;
    let (path, first, rest) = first_and_rest(spec, bundle)?;
    let first = first.ok_or_else(|| Failure::setup("a root that is lent is made of layers"))?;
    let (root, mut mounts) = in_mount_namespace_of(process, || {
        let mut mounts = Vec::with_capacity(rest.len());
        for entry in rest {
            mounts.push(
                within(&path, entry, spec, confidential, &users).map_err(|failure| at(entry, failure))?,
            );
        }
        overlay::mount(first, &path, Some(&users))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty()).context("opening the root")?;
        Ok((root, mounts))
    })?;
    // Not inside, where what the host has mounted below others cannot be told from them.
    for (entry, mount) in rest.iter().zip(&mut mounts).filter(|(entry, _)| kind(entry) == Some(Kind::Bind)) {
        *mount = Some(bind(root.as_fd(), entry, spec, &users).map_err(|failure| at(entry, failure))?);
    }
    Ok(Lent { root, mounts: mounts.into_iter().flatten().collect() })
}

fn in_mount_namespace_of<T>(process: Pid, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let open = |path: &str| File::open(path).context("opening a mount namespace");
    let enter = |namespace: &File| {
        rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
            .context("joining a mount namespace")
    };
    let own = open("/proc/self/ns/mnt")?;
    enter(&open(&format!("/proc/{}/ns/mnt", process.as_raw_nonzero()))?)?;
    let done = work();
    enter(&own)?;
    done
}

/// What is lent for `entry`, unless it is a bind mount. What is mounted aside is so at `place`, where the root is going to hide
/// what is left of it.
fn within(
    place: &Path,
    entry: &Mount,
    spec: &Spec,
    confidential: &Confidential,
    users: &Users,
) -> Result<Option<OwnedFd>, Failure> {
    let options = Options::parse(entry.options().as_deref().unwrap_or_default());
    Ok(Some(match kind(entry) {
        Some(Kind::Layers) => aside::layers(place, entry, &options, Some(users))?,
        Some(Kind::Secret) => aside::secret(place, entry, &options, confidential, Some(users))?,
        Some(Kind::SharedMemory) => aside::shared_memory(entry.source().as_deref().unwrap_or(Path::new("")))?,
        Some(Kind::Devices) => {
            let dev = new_filesystem("tmpfs", Path::new("tmpfs"), &options.data, options.of_new_mount())?;
            devices::populate_for(dev.as_fd(), spec, users)?;
            dev
        }
        Some(Kind::Bind) | None => return Ok(None),
    }))
}

fn bind(root: BorrowedFd<'_>, entry: &Mount, spec: &Spec, users: &Users) -> Result<OwnedFd, Failure> {
    let options = Options::parse(entry.options().as_deref().unwrap_or_default());
    let tree = clone_source(entry, &options)?;
    match options.ours.contains(&MAP_OWNER) {
        true => owners::map_within(root, tree.as_fd(), user_of(spec), users)?,
        false => owners::lend(tree.as_fd(), users, bind_depth(&options))?,
    }
    Ok(tree)
}

/// What a mount that is lent is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bind,
    Layers,
    Secret,
    SharedMemory,
    Devices,
}

/// How a mount is lent; `None` for what the container mounts by itself.
fn kind(entry: &Mount) -> Option<Kind> {
    match entry.typ().as_deref() {
        Some("bind") => Some(Kind::Bind),
        Some("overlay") => Some(Kind::Layers),
        Some(SECRET) => Some(Kind::Secret),
        Some(SHARED_MEMORY) => Some(Kind::SharedMemory),
        Some("tmpfs") if is_at_dev(entry) => Some(Kind::Devices),
        _ => None,
    }
}
