//! The container's view of files: its root, what is mounted into it, what is hidden from it.
//!
//! Everything here runs in the child, in its own mount namespace, before the host's root is left behind.
//! Destinations lie in a tree that the image made: they are resolved by the kernel inside that tree and
//! mounted on by descriptor, never by a joined path.

mod aside;
mod copy;
mod devices;
mod masks;
mod options;
mod overlay;
mod owners;

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use oci_spec::runtime::{Mount, Spec};
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
        UnmountFlags,
    },
};
use sys::{
    mounts::{Attributes, Depth, set_attributes},
    root,
};

use self::options::Options;
pub use self::{devices::Terminal, overlay::join as join_layers};
use crate::{
    bundle::{COPY_UP, MAP_OWNER, SECRET, SHARED_MEMORY},
    cgroup,
    confidential::Confidential,
    failure::{Context, Failure},
};

/// Sets up the root directory that `spec` describes and everything in it, without entering it yet.
pub fn set_up(
    spec: &Spec,
    bundle: &Path,
    confidential: &Confidential,
    cgroups: &cgroup::Layout,
) -> Result<Root, Failure> {
    let (root, rest) = mount_root(spec, bundle)?;
    // On top of the bundle, which nothing else needs now by its name.
    let user = user_of(spec);
    let sources = Sources { aside: bundle, confidential, cgroups, user: Some(user) };
    for entry in rest {
        mount_named(root.as_fd(), entry, &sources)?;
    }
    devices::add_requested(root.as_fd(), spec)?;
    Ok(Root { directory: root })
}

/// Sets up what is on disk of the root directory that `spec` describes: the root, and the files and directories that are
/// mounted there.
pub fn set_up_files(spec: &Spec, bundle: &Path) -> Result<OwnedFd, Failure> {
    let (root, rest) = mount_root(spec, bundle)?;
    let (confidential, cgroups) = (Confidential::default(), cgroup::Layout::detect().context("cgroups")?);
    let sources = Sources { aside: bundle, confidential: &confidential, cgroups: &cgroups, user: None };
    for entry in rest.iter().filter(|entry| entry.typ().as_deref() == Some("bind")) {
        mount_named(root.as_fd(), entry, &sources)?;
    }
    Ok(root)
}

/// The user that the process of `spec` runs as.
fn user_of(spec: &Spec) -> &str {
    let user = spec.process().as_ref().map(|process| process.user());
    user.and_then(|user| user.username().as_deref()).unwrap_or_default()
}

/// Mounts the root in a mount namespace of the caller's own, and returns it with what is to be mounted in it.
fn mount_root<'a>(spec: &'a Spec, bundle: &Path) -> Result<(OwnedFd, &'a [Mount]), Failure> {
    // Nothing mounted from here on shows up on the host; what the host mounts later may still show up here.
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context("detaching from the host's mounts")?;
    let section = spec.root().as_ref().ok_or_else(|| Failure::setup("the specification names no root"))?;
    let path = bundle.join(section.path());
    let (first, rest) = match spec.mounts().as_deref() {
        Some([first, rest @ ..]) if first.destination() == Path::new("/") => (Some(first), rest),
        Some(mounts) => (None, mounts),
        None => (None, &[][..]),
    };
    match first {
        Some(layers) => overlay::mount(layers, &path)?,
        None => rustix::mount::mount_bind_recursive(&path, &path).context("mounting the root")?,
    }
    let root = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .context("opening the root")?;
    Ok((root, rest))
}

fn mount_named(root: BorrowedFd<'_>, entry: &Mount, sources: &Sources<'_>) -> Result<(), Failure> {
    mount(root, entry, sources)
        .map_err(|e| Failure { message: format!("mounting {}: {e}", entry.destination().display()), ..e })
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
    pub fn enter(self, spec: &Spec) -> Result<(), Failure> {
        masks::apply(self.directory.as_fd(), spec)?;
        rustix::process::fchdir(&self.directory).context("entering the root")?;
        rustix::process::pivot_root(".", ".").context("pivot_root")?;
        // The old root is now stacked on the new one, at the same path.
        rustix::mount::unmount(".", UnmountFlags::DETACH).context("leaving the host's root")?;
        rustix::process::chdir("/").context("entering the root")?;
        if spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false) {
            set_attributes(self.directory.as_fd(), Attributes::READ_ONLY, None, Depth::This)
                .context("making the root read-only")?;
        }
        Ok(())
    }
}

/// What mounts are made of, besides what they say themselves.
struct Sources<'a> {
    /// A directory to mount something on that is not to stay there.
    aside: &'a Path,
    confidential: &'a Confidential,
    cgroups: &'a cgroup::Layout,
    /// Who is to own what is mounted with another owner; nobody, where owners stay as they are.
    user: Option<&'a str>,
}

fn mount(root: BorrowedFd<'_>, entry: &Mount, sources: &Sources<'_>) -> Result<(), Failure> {
    let options = Options::parse(entry.options().as_deref().unwrap_or_default());
    match entry.typ().as_deref() {
        Some("cgroup") => mount_cgroups(root, entry, &options, sources.cgroups),
        Some("overlay") => {
            let tree = aside::layers(sources.aside, entry, &options)?;
            attach_tree(root, entry, &options, Depth::This, tree.as_fd())
        }
        Some(SECRET) => {
            let tree = aside::secret(sources.aside, entry, &options, sources.confidential)?;
            attach_tree(root, entry, &options, Depth::This, tree.as_fd())
        }
        Some(SHARED_MEMORY) => {
            let namespace = entry.source().as_deref().unwrap_or(Path::new(""));
            let tree = aside::shared_memory(namespace)?;
            attach_tree(root, entry, &options, Depth::This, tree.as_fd())
        }
        Some("bind") => bind(root, entry, &options, sources.user),
        _ if options.bind.is_some() => bind(root, entry, &options, sources.user),
        Some(filesystem) => {
            let source = entry.source().as_deref().unwrap_or(Path::new(filesystem));
            let mounted = new_filesystem(filesystem, source, &options.data, options.set)?;
            if entry.destination() == Path::new("/dev") {
                devices::populate(mounted.as_fd())?;
            }
            attach_directory(root, entry.destination(), mounted.as_fd())
        }
        None => Err(Failure::setup("neither a type nor a bind option is given")),
    }
}

fn bind(
    root: BorrowedFd<'_>,
    entry: &Mount,
    options: &Options<'_>,
    user: Option<&str>,
) -> Result<(), Failure> {
    let source = entry.source().as_ref().ok_or_else(|| Failure::setup("a bind mount needs a source"))?;
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let depth = options.bind.unwrap_or(Depth::WithThoseBelow);
    if depth == Depth::WithThoseBelow {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let named = format_args!("bind source path {}", source.display());
    let tree = if options.below() == Path::new("") {
        rustix::mount::open_tree(CWD, source, flags).context(named)?
    } else {
        let whole = rustix::fs::open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).context(named)?;
        aside::part(whole.as_fd(), options.below(), depth)?
    };
    if options.ours.contains(&COPY_UP) {
        copy::fill_if_empty(root, entry.destination(), tree.as_fd())?;
    }
    if let Some(user) = user.filter(|_| options.ours.contains(&MAP_OWNER)) {
        owners::map(root, tree.as_fd(), user)?;
    }
    attach_tree(root, entry, options, depth, tree.as_fd())
}

/// Attaches the detached mount `tree`, of a directory or a file, with the options of `entry`.
fn attach_tree(
    root: BorrowedFd<'_>,
    entry: &Mount,
    options: &Options<'_>,
    depth: Depth,
    tree: BorrowedFd<'_>,
) -> Result<(), Failure> {
    let propagation = options.propagation.or(Some(sys::mounts::Propagation::Private));
    set_attributes(tree, Attributes::NONE, propagation, depth).context("setting the propagation")?;
    // A recursive clone brings mounts of the host along: they stay writable below a read-only one unless it says more.
    let flagged = if options.set_below { depth } else { Depth::This };
    set_attributes(tree, options.set, None, flagged).context("setting mount options")?;
    if root::is_directory(tree).context("reading the source")? {
        attach_directory(root, entry.destination(), tree)
    } else {
        let target =
            root::open_or_create_file(root, entry.destination()).context("making the mount point")?;
        attach(tree, target.as_fd())
    }
}

/// Mounts what the container may see of the cgroups: its own part of each hierarchy, below one small directory
/// if there are several.
fn mount_cgroups(
    root: BorrowedFd<'_>,
    entry: &Mount,
    options: &Options<'_>,
    cgroups: &cgroup::Layout,
) -> Result<(), Failure> {
    let cgroup::View { mounts, links } = cgroups.mounts();
    let mut directory = None;
    for mount in &mounts {
        // The directory itself stays writable until everything is in it.
        let attributes = if mount.name.is_empty() { Attributes::NONE } else { options.set };
        let filesystem =
            new_filesystem(mount.filesystem, Path::new(mount.filesystem), &mount.data(), attributes)?;
        attach_directory(root, &entry.destination().join(&mount.name), filesystem.as_fd())?;
        directory.get_or_insert(filesystem);
    }
    let Some(directory) = directory else { return Ok(()) };
    for (name, target) in &links {
        rustix::fs::symlinkat(target.as_str(), &directory, name.as_str())
            .context(format_args!("linking {name}"))?;
    }
    set_attributes(directory.as_fd(), options.set, None, Depth::This).context("setting mount options")
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
    let target = root::open_or_create_directory(root, destination, Mode::from_raw_mode(0o755))
        .context("making the mount point")?;
    attach(mount, target.as_fd())
}

/// Mounts a detached `mount` on `target`, wherever that is by now.
fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Failure> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", target, "", flags).context("attaching the mount")
}
