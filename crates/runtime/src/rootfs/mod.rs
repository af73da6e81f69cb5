//! The container's view of files: its root, what is mounted into it, what is hidden from it.
//!
//! Everything here runs in the child, in its own mount namespace, before the host's root is left behind.
//! Destinations lie in a tree that the image made: they are resolved by the kernel inside that tree and
//! mounted on by descriptor, never by a joined path.

mod aside;
mod copy;
mod devices;
mod lent;
mod masks;
mod options;
mod overlay;
mod owners;

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};
use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags,
    },
};
use sys::{
    mounts::{Attributes, Depth, Propagation, exchange_attributes, set_attributes},
    process::Namespaces,
    root,
};

use self::options::Options;
pub use self::{
    devices::Terminal,
    lent::{Lent, lend},
    overlay::join as join_layers,
    owners::{can_map as maps_owners, lines as mapping_lines},
};
use crate::{
    bundle::{COPY_UP, MAP_OWNER, SECRET, SHARED_MEMORY, is_to_the_letter},
    cgroup::{self, Cgroup},
    confidential::Confidential,
    failure::{Context, Failure, FailureKind},
    start::{is_in_another_namespace, namespaces},
};

/// Sets up the root directory that `spec` describes and everything in it, without entering it yet. What is `lent` is there
/// already.
pub fn set_up(
    spec: &Spec,
    bundle: &Path,
    confidential: &Confidential,
    cgroups: &cgroup::Layout,
    cgroup: &Cgroup,
    mut lent: Option<Lent>,
) -> Result<Root, Failure> {
    if has_own_mounts(spec) {
        detach_from_the_host()?;
    }
    let (root, rest) = match &lent {
        Some(lent) => {
            let root = lent.root.try_clone().context("the root")?;
            (root, first_and_rest(spec, bundle)?.2)
        }
        None => mount_root(spec, bundle)?,
    };
    // On top of the bundle, which nothing else needs now by its name.
    let user = user_of(spec);
    let shared_group = (!has_own_cgroup_namespace(spec)).then_some(cgroup);
    let to_the_letter = is_to_the_letter(spec);
    let is_the_hosts =
        |kind| sys::rootless::is_rootless() && !to_the_letter && !is_in_another_namespace(spec, kind);
    let hosts = Hosts {
        network: is_the_hosts(LinuxNamespaceType::Network),
        processes: is_the_hosts(LinuxNamespaceType::Pid),
    };
    let sources = Sources {
        aside: bundle,
        confidential,
        cgroups,
        shared_group,
        user: Some(user),
        to_the_letter,
        hosts,
    };
    for entry in rest {
        let tree = lent.as_mut().map(|lent| lent.take(entry)).transpose()?.flatten();
        match tree {
            Some(tree) => attach_lent(root.as_fd(), entry, tree.as_fd()),
            None => mount(root.as_fd(), entry, &sources),
        }
        .map_err(|failure| at(entry, failure))
        .map_err(|failure| match has_own_mounts(spec) {
            true => failure,
            false => Failure {
                message: format!("{failure}; without a mount namespace of its own this takes Linux 6.15"),
                ..failure
            },
        })?;
    }
    if to_the_letter && !has_foreign_devices(rest) {
        devices::add_usual(root.as_fd())?;
    }
    devices::add_requested(root.as_fd(), spec, lent.is_some())?;
    Ok(Root { directory: root })
}

/// Whether the container has a mount namespace of its own. In another's it is shut into a root that is attached nowhere, so
/// that nothing of it is seen there, and the kernel takes it down with the last process.
pub(crate) fn has_own_mounts(spec: &Spec) -> bool {
    namespaces(spec).contains(Namespaces::MOUNT)
}

/// Whether the devices are those of another directory, to which nothing may be added.
fn has_foreign_devices(mounts: &[Mount]) -> bool {
    let is_bind = |mount: &Mount| {
        let options = mount.options().as_deref().unwrap_or_default();
        mount.typ().as_deref() == Some("bind") || Options::parse(options).bind.is_some()
    };
    mounts.iter().any(|mount| is_at_dev(mount) && is_bind(mount))
}

/// Whether this is the mount of all devices. A trailing slash makes no difference.
fn is_at_dev(mount: &Mount) -> bool {
    mount.destination().components().eq(Path::new("/dev").components())
}

/// Whether the container is in a cgroup namespace of its own.
pub(crate) fn has_own_cgroup_namespace(spec: &Spec) -> bool {
    let linux = spec.linux().as_ref();
    let mut listed = linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten();
    listed.any(|namespace| namespace.typ() == LinuxNamespaceType::Cgroup && namespace.path().is_none())
}

/// Sets up what is on disk of the root directory that `spec` describes: the root, and the files and directories that are
/// mounted there.
pub fn set_up_files(spec: &Spec, bundle: &Path) -> Result<OwnedFd, Failure> {
    detach_from_the_host()?;
    let (root, rest) = mount_root(spec, bundle)?;
    let (confidential, cgroups) = (Confidential::default(), cgroup::Layout::detect().context("cgroups")?);
    let sources = Sources {
        aside: bundle,
        confidential: &confidential,
        cgroups: &cgroups,
        shared_group: None,
        user: None,
        to_the_letter: false,
        hosts: Hosts::default(),
    };
    for entry in rest.iter().filter(|entry| entry.typ().as_deref() == Some("bind")) {
        mount(root.as_fd(), entry, &sources).map_err(|failure| at(entry, failure))?;
    }
    Ok(root)
}

/// The user that the process of `spec` runs as.
fn user_of(spec: &Spec) -> &str {
    let user = spec.process().as_ref().map(|process| process.user());
    user.and_then(|user| user.username().as_deref()).unwrap_or_default()
}

/// Nothing mounted from here on shows up on the host; what the host mounts later may still show up here.
fn detach_from_the_host() -> Result<(), Failure> {
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context("detaching from the host's mounts")
}

/// Where the root is, the layers that it is made of if there are any, and what is to be mounted in it.
fn first_and_rest<'a>(
    spec: &'a Spec,
    bundle: &Path,
) -> Result<(PathBuf, Option<&'a Mount>, &'a [Mount]), Failure> {
    let section = spec.root().as_ref().ok_or_else(|| Failure::setup("the specification names no root"))?;
    let path = bundle.join(section.path());
    Ok(match spec.mounts().as_deref() {
        Some([first, rest @ ..]) if first.destination() == Path::new("/") => (path, Some(first), rest),
        Some(mounts) => (path, None, mounts),
        None => (path, None, &[][..]),
    })
}

/// Mounts the root in a mount namespace of the caller's own, and returns it with what is to be mounted in it.
fn mount_root<'a>(spec: &'a Spec, bundle: &Path) -> Result<(OwnedFd, &'a [Mount]), Failure> {
    let (path, first, rest) = first_and_rest(spec, bundle)?;
    match first {
        Some(layers) => overlay::mount(layers, &path, None)?,
        None if !has_own_mounts(spec) => return Ok((detached_root(&path)?, rest)),
        None => rustix::mount::mount_bind_recursive(&path, &path).context("mounting the root")?,
    }
    let root = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .context("opening the root")?;
    Ok((root, rest))
}

/// A clone of the directory at `path`, with what is mounted below it. Linux mounts something on one since 6.15.
fn detached_root(path: &Path) -> Result<OwnedFd, Failure> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let root = rustix::mount::open_tree(CWD, path, flags).context("cloning the root")?;
    set_attributes(root.as_fd(), Attributes::NONE, Some(Propagation::Private), Depth::WithThoseBelow)
        .context("detaching from the host's mounts")?;
    Ok(root)
}

/// Says at which mount it was.
fn at(entry: &Mount, failure: Failure) -> Failure {
    if failure.kind == FailureKind::Mismatch {
        let kind = entry.typ().as_deref().map(Path::new);
        let source = entry.source().as_deref().or(kind).unwrap_or(Path::new(""));
        // In the words that are looked up.
        let message = format!(
            "error mounting {source:?} to rootfs at {:?}: not a directory: Are you trying to mount a directory onto a file (or \
             vice-versa)? Check if the specified host path exists and is the expected type",
            entry.destination()
        );
        return Failure { message, ..failure };
    }
    Failure { message: format!("mounting {}: {failure}", entry.destination().display()), ..failure }
}

/// A root directory with its mounts, not yet entered.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
}

impl Root {
    /// A new terminal of the container's own, which is its console too.
    pub fn open_terminal(&self, columns: u16, rows: u16) -> Result<Terminal, Failure> {
        let terminal = Terminal::open(self.directory.as_fd(), columns, rows)?;
        devices::mount_console(self.directory.as_fd(), &terminal)?;
        Ok(terminal)
    }

    /// Hides and write-protects what `spec` says, makes this the root directory, and forgets the host's.
    pub fn enter(self, spec: &Spec, way: Way) -> Result<(), Failure> {
        masks::apply(self.directory.as_fd(), spec)?;
        protect_devices(self.directory.as_fd(), spec)?;
        if let Some(process) = spec.process().as_ref().filter(|_| is_to_the_letter(spec)) {
            // While it can be written to. Where that fails, entering the directory tells why.
            let mode = Mode::from_raw_mode(0o755);
            let _ = root::open_or_create_directory(self.directory.as_fd(), process.cwd(), mode);
        }
        rustix::process::fchdir(&self.directory).context("entering the root")?;
        match way {
            _ if !has_own_mounts(spec) => rustix::process::chroot(".").context("chroot")?,
            Way::Pivot => {
                rustix::process::pivot_root(".", ".").context("pivot_root")?;
                // The old root is now stacked on the new one, at the same path.
                rustix::mount::unmount(".", UnmountFlags::DETACH).context("leaving the host's root")?;
            }
            Way::Move => {
                hide_the_hosts_kernel(self.directory.as_fd())?;
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                rustix::mount::move_mount(&self.directory, "", CWD, "/", flags).context("moving the root")?;
                rustix::process::chroot(".").context("chroot")?;
            }
        }
        rustix::process::chdir("/").context("entering the root")?;
        if spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false) {
            set_attributes(self.directory.as_fd(), Attributes::READ_ONLY, None, Depth::This)
                .context("making the root read-only")?;
        }
        let said = spec.linux().as_ref().and_then(|linux| linux.rootfs_propagation().as_deref());
        match said.filter(|said| !said.is_empty() && is_to_the_letter(spec)) {
            Some(said) => {
                let depth = if said.starts_with('r') { Depth::WithThoseBelow } else { Depth::This };
                let option = [said.to_owned()];
                let propagation = Options::parse(&option).propagation.ok_or_else(|| {
                    Failure::setup(format_args!("rootfsPropagation={said} is not supported"))
                })?;
                set_attributes(self.directory.as_fd(), Attributes::NONE, Some(propagation), depth)
                    .context("setting the root's propagation")
            }
            None => Ok(()),
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Makes the directory of all devices read-only, if it is to be, now that they are in it.
fn protect_devices(root: BorrowedFd<'_>, spec: &Spec) -> Result<(), Failure> {
    let is_protected = |mount: &Mount| {
        let options = mount.options().as_deref().unwrap_or_default();
        is_at_dev(mount) && Options::parse(options).set.contains(Attributes::READ_ONLY)
    };
    if !is_to_the_letter(spec) || !spec.mounts().iter().flatten().any(is_protected) {
        return Ok(());
    }
    let devices = root::open(root, Path::new("/dev"), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
        .context("opening the devices")?;
    set_attributes(devices.as_fd(), Attributes::READ_ONLY, None, Depth::This)
        .context("write-protecting the devices")
}

/// Takes the kernel's file systems away that the host has beside `root`. One that is in a mount namespace, by whatever path,
/// lets a user namespace made there mount another, in which nothing is masked.
fn hide_the_hosts_kernel(root: BorrowedFd<'_>) -> Result<(), Failure> {
    let root =
        std::fs::read_link(format!("/proc/self/fd/{}", root.as_raw_fd())).context("the root's path")?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("reading the host's mounts")?;
    for line in mounts.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
        let point = Path::new(mount.split(' ').nth(4).unwrap_or_default());
        if point.starts_with(&root) || !["proc ", "sysfs "].iter().any(|kind| filesystem.starts_with(kind)) {
            continue;
        }
        match rustix::mount::unmount(point, UnmountFlags::DETACH) {
            // In a user namespace it cannot be taken away, but hidden.
            Err(Errno::INVAL | Errno::PERM) => {
                let cover = new_filesystem("tmpfs", Path::new("tmpfs"), &[], Attributes::READ_ONLY)?;
                let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
                rustix::mount::move_mount(&cover, "", CWD, point, flags)
            }
            other => other,
        }
        .context(format_args!("taking {} away", point.display()))?;
    }
    Ok(())
}

/// How a process gets into a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Pivot,
    /// Where the host's root is the kernel's first file system in memory, which cannot be pivoted away from.
    Move,
}

/// What mounts are made of, besides what they say themselves.
struct Sources<'a> {
    /// A directory to mount something on that is not to stay there.
    aside: &'a Path,
    confidential: &'a Confidential,
    cgroups: &'a cgroup::Layout,
    /// The group to show where the container sees the host's cgroups.
    shared_group: Option<&'a Cgroup>,
    /// Who is to own what is mounted with another owner; nobody, where owners stay as they are.
    user: Option<&'a str>,
    to_the_letter: bool,
    hosts: Hosts,
}

/// What a container in a user namespace shares with the host, and that namespace has no say in: the kernel mounts no file system
/// of it then, and the host's is shown.
#[derive(Debug, Clone, Copy, Default)]
struct Hosts {
    network: bool,
    processes: bool,
}

fn mount(root: BorrowedFd<'_>, entry: &Mount, sources: &Sources<'_>) -> Result<(), Failure> {
    let options = Options::parse(entry.options().as_deref().unwrap_or_default());
    match entry.typ().as_deref() {
        Some("cgroup") => mount_cgroups(root, entry, &options, sources),
        Some("overlay") => {
            let tree = aside::layers(sources.aside, entry, &options, None)?;
            attach_tree(root, entry, &options, Depth::This, tree.as_fd())
        }
        Some(SECRET) => {
            let tree = aside::secret(sources.aside, entry, &options, sources.confidential, None)?;
            attach_tree(root, entry, &options, Depth::This, tree.as_fd())
        }
        Some(SHARED_MEMORY) => {
            let namespace = entry.source().as_deref().unwrap_or(Path::new(""));
            let tree = aside::shared_memory(namespace)?;
            attach_tree(root, entry, &options, Depth::This, tree.as_fd())
        }
        Some("bind") => bind(root, entry, &options, sources.user),
        _ if options.bind.is_some() => bind(root, entry, &options, sources.user),
        Some("sysfs") if sources.hosts.network => bind_the_hosts(root, entry, &options, "/sys"),
        Some("proc") if sources.hosts.processes => bind_the_hosts(root, entry, &options, "/proc"),
        Some(filesystem) => {
            let source = entry.source().as_deref().unwrap_or(Path::new(filesystem));
            let data = match filesystem {
                // A namespace may be too small for the group of terminals.
                "devpts" if !has_group(TERMINALS) => without_group(&options.data),
                "tmpfs" => with_the_mode_of_what_it_hides(root, entry.destination(), &options.data)?,
                _ => options.data.clone(),
            };
            let mut attributes = options.of_new_mount();
            if is_at_dev(entry) && sources.to_the_letter {
                // Until all devices are there.
                attributes = attributes.without(Attributes::READ_ONLY);
            }
            let mounted = new_filesystem(filesystem, source, &data, attributes)?;
            let has_devices = is_at_dev(entry) && !sources.to_the_letter;
            if options.copy_up && !has_devices {
                copy::fill_if_empty(root, entry.destination(), mounted.as_fd())?;
            }
            if options.propagation.is_some() {
                set_attributes(mounted.as_fd(), Attributes::NONE, options.propagation, Depth::This)
                    .context("setting the propagation")?;
            }
            attach_directory(root, entry.destination(), mounted.as_fd())?;
            if has_devices {
                // Only now: a device that is lent is mounted, and before Linux 6.15 only on what is attached.
                devices::populate(mounted.as_fd())?;
            }
            Ok(())
        }
        None => Err(Failure::setup("neither a type nor a bind option is given")),
    }
}

/// Whether there is a group of this number in our user namespace.
fn has_group(number: u32) -> bool {
    let map = std::fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
    let covers = |line: &str| {
        let numbers: Vec<u32> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers.as_slice(), [first, _, count] if number.checked_sub(*first).is_some_and(|n| n < *count))
    };
    map.lines().any(covers)
}

fn without_group(data: &[(String, Option<String>)]) -> Vec<(String, Option<String>)> {
    data.iter().filter(|(key, _)| key != "gid").cloned().collect()
}

/// The options of a file system in memory, which is as open as the directory it hides, unless they say otherwise.
fn with_the_mode_of_what_it_hides(
    root: BorrowedFd<'_>,
    destination: &Path,
    data: &[(String, Option<String>)],
) -> Result<Vec<(String, Option<String>)>, Failure> {
    let mut data = data.to_vec();
    if data.iter().all(|(key, _)| key != "mode") {
        // Where nothing is hidden it is for everybody. What else may be wrong with the place shows when it is mounted there.
        let hidden = root::open(root, destination, OFlags::PATH | OFlags::DIRECTORY, Mode::empty());
        if let Ok(hidden) = hidden {
            let mode = rustix::fs::fstat(&hidden).context("reading the mount point")?.st_mode & 0o7777;
            data.push(("mode".to_owned(), Some(format!("{mode:o}"))));
        }
    }
    Ok(data)
}

fn bind(
    root: BorrowedFd<'_>,
    entry: &Mount,
    options: &Options<'_>,
    user: Option<&str>,
) -> Result<(), Failure> {
    let tree = clone_source(entry, options)?;
    if options.ours.contains(&COPY_UP) {
        copy::fill_if_empty(root, entry.destination(), tree.as_fd())?;
    }
    if let Some(user) = user.filter(|_| options.ours.contains(&MAP_OWNER)) {
        owners::map(root, tree.as_fd(), user)?;
    }
    let (users, groups) = (entry.uid_mappings().as_deref(), entry.gid_mappings().as_deref());
    if options.map.is_some() || users.or(groups).is_some_and(|mappings| !mappings.is_empty()) {
        let depth = options.map.unwrap_or(Depth::This);
        owners::map_as(tree.as_fd(), users.unwrap_or_default(), groups.unwrap_or_default(), depth)?;
    }
    attach_tree(root, entry, options, bind_depth(options), tree.as_fd())
}

/// A detached clone of what a bind mount is of.
fn clone_source(entry: &Mount, options: &Options<'_>) -> Result<OwnedFd, Failure> {
    let source = entry.source().as_ref().ok_or_else(|| Failure::setup("a bind mount needs a source"))?;
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let depth = bind_depth(options);
    if depth == Depth::WithThoseBelow {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let named = format_args!("bind source path {}", source.display());
    if options.below() == Path::new("") {
        return rustix::mount::open_tree(CWD, source, flags).context(named);
    }
    let whole = rustix::fs::open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).context(named)?;
    aside::part(whole.as_fd(), options.below(), depth)
}

fn bind_depth(options: &Options<'_>) -> Depth {
    options.bind.unwrap_or(Depth::WithThoseBelow)
}

/// Attaches a clone of a file system of the kernel's that the host has at `path`, with what is mounted in it.
fn bind_the_hosts(
    root: BorrowedFd<'_>,
    entry: &Mount,
    options: &Options<'_>,
    path: &str,
) -> Result<(), Failure> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(CWD, path, flags).context(format_args!("cloning {path}"))?;
    if options.set.contains(Attributes::READ_ONLY) {
        exchange(tree.as_fd(), Attributes::NONE, Attributes::READ_ONLY, Depth::WithThoseBelow)?;
    }
    attach_tree(root, entry, options, Depth::WithThoseBelow, tree.as_fd())
}

/// Attaches what was lent for `entry`.
fn attach_lent(root: BorrowedFd<'_>, entry: &Mount, tree: BorrowedFd<'_>) -> Result<(), Failure> {
    let options = Options::parse(entry.options().as_deref().unwrap_or_default());
    if options.ours.contains(&COPY_UP) {
        copy::fill_if_empty(root, entry.destination(), tree)?;
    }
    let depth = if entry.typ().as_deref() == Some("bind") { bind_depth(&options) } else { Depth::This };
    attach_tree(root, entry, &options, depth, tree)
}

/// Attaches the detached mount `tree`, of a directory or a file, with the options of `entry`.
fn attach_tree(
    root: BorrowedFd<'_>,
    entry: &Mount,
    options: &Options<'_>,
    depth: Depth,
    tree: BorrowedFd<'_>,
) -> Result<(), Failure> {
    let propagation = options.propagation.or(Some(Propagation::Private));
    set_attributes(tree, Attributes::NONE, propagation, depth).context("setting the propagation")?;
    // A recursive clone brings mounts of the host along: they stay writable below a read-only one unless it says more.
    exchange(tree, options.clear_below, options.set_below, depth)?;
    exchange(tree, Attributes::NONE, options.set, Depth::This)?;
    if root::is_directory(tree).context("reading the source")? {
        attach_directory(root, entry.destination(), tree)
    } else {
        let target = root::open_or_create_file(root, entry.destination()).and_then(not_directory);
        attach(tree, target.map_err(no_mount_point)?.as_fd())
    }
}

/// Clears flags of mounts and then sets flags.
fn exchange(tree: BorrowedFd<'_>, clear: Attributes, set: Attributes, depth: Depth) -> Result<(), Failure> {
    if (clear, set) == (Attributes::NONE, Attributes::NONE) {
        return Ok(());
    }
    // Of the ways to keep access times a mount has one: the kernel wants all cleared before one is set.
    let times = set.without(set.without(Attributes::ACCESS_TIMES)) != Attributes::NONE;
    let clear = if times { clear | Attributes::ACCESS_TIMES } else { clear };
    exchange_attributes(tree, clear, set, depth).context("setting mount options")
}

/// Mounts what the container may see of the cgroups: its own part of each hierarchy, below one small directory
/// if there are several.
fn mount_cgroups(
    root: BorrowedFd<'_>,
    entry: &Mount,
    options: &Options<'_>,
    sources: &Sources<'_>,
) -> Result<(), Failure> {
    let cgroup::View { mounts, links } = sources.cgroups.mounts();
    let set = options.of_new_mount();
    let mut shared = sources.shared_group.map(Cgroup::shown);
    for mount in &mounts {
        let is_whole = mount.name.is_empty();
        // The directory itself stays writable until everything is in it.
        let attributes = if is_whole { Attributes::NONE } else { set };
        let group = shared.as_mut().filter(|_| mount.filesystem != "tmpfs").and_then(Iterator::next);
        let filesystem = match group {
            Some(group) => {
                let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
                let tree = rustix::mount::open_tree(CWD, group, flags).context("cloning the cgroup")?;
                set_attributes(tree.as_fd(), attributes, Some(Propagation::Private), Depth::This)
                    .context("setting mount options")?;
                tree
            }
            None => new_filesystem(mount.filesystem, Path::new(mount.filesystem), &mount.data(), attributes)?,
        };
        if is_whole {
            for tree in mounts.iter().filter(|tree| !tree.name.is_empty()) {
                rustix::fs::mkdirat(&filesystem, tree.name.as_str(), Mode::from_raw_mode(0o755))
                    .context(format_args!("making {}", tree.name))?;
            }
            for (name, target) in &links {
                rustix::fs::symlinkat(target.as_str(), &filesystem, name.as_str())
                    .context(format_args!("linking {name}"))?;
            }
            exchange(filesystem.as_fd(), Attributes::NONE, set, Depth::This)?;
        }
        attach_directory(root, &entry.destination().join(&mount.name), filesystem.as_fd())?;
    }
    Ok(())
}

/// Makes a mount of a new `filesystem` instance that is not attached anywhere yet.
fn new_filesystem(
    filesystem: &str,
    source: &Path,
    data: &[(String, Option<String>)],
    attributes: Attributes,
) -> Result<OwnedFd, Failure> {
    let context = rustix::mount::fsopen(filesystem, FsOpenFlags::FSOPEN_CLOEXEC)
        .context(format_args!("filesystem {filesystem}"))?;
    rustix::mount::fsconfig_set_string(&context, "source", source).context("mount source")?;
    for (key, value) in data {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(&context, key.as_str(), value.as_str()),
            None => rustix::mount::fsconfig_set_flag(&context, key.as_str()),
        }
        .context(format_args!("mount option {key}"))?;
    }
    rustix::mount::fsconfig_create(&context).context(format_args!("creating a {filesystem}"))?;
    let attributes = MountAttrFlags::from_bits_retain(attributes.bits());
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .context(format_args!("mounting a {filesystem}"))
}

fn attach_directory(root: BorrowedFd<'_>, destination: &Path, mount: BorrowedFd<'_>) -> Result<(), Failure> {
    let target = root::open_or_create_directory(root, destination, Mode::from_raw_mode(0o755));
    attach(mount, target.map_err(no_mount_point)?.as_fd())
}

fn not_directory(target: OwnedFd) -> io::Result<OwnedFd> {
    if root::is_directory(&target)? { Err(io::ErrorKind::NotADirectory.into()) } else { Ok(target) }
}

/// Why nothing can be mounted somewhere.
fn no_mount_point(error: io::Error) -> Failure {
    match error.kind() {
        // The kernel's word for either.
        io::ErrorKind::NotADirectory => Failure { kind: FailureKind::Mismatch, message: error.to_string() },
        _ => Failure::setup(format_args!("making the mount point: {error}")),
    }
}

/// Mounts a detached `mount` on `target`, wherever that is by now.
fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Failure> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target, "", flags).context("attaching the mount")
}

/// The group that terminals belong to: `tty`.
const TERMINALS: u32 = 5;
