//! A container's files, whether it runs or not: looked at, taken out as archives, put in from archives.
//!
//! Those of a running container are reached through its first process's root, with all that is mounted there. Those of
//! another are mounted where only this process sees them. Every path is resolved by the kernel inside the root, whatever
//! the container does to its links meanwhile.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
};

use image::{
    archive::{self, ArchiveError, Pick},
    layer::UnpackError,
    tree::{Found, Links, Owners, Root, open_child_directory},
};
use monitor::{Lock, Started};
use runtime::View;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};

use super::{
    config::MountSource,
    lifecycle::ends_within,
    spec::{self, Places},
    start::Layers,
    status::{Container, PAUSE},
};
use crate::{Engine, error::EngineError};

/// What is to be done with a container's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Read,
    /// The container cannot be started meanwhile, if it does not run.
    Write,
}

/// The files of a container, as they are inside.
#[derive(Debug)]
pub struct Files<'a> {
    container: &'a Container,
    /// The container as the user named it.
    reference: &'a str,
    root: Root,
    _view: Option<View>,
    _lock: Option<Lock>,
}

/// What is at a path in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFound {
    pub kind: FileType,
    /// Where a link leads, followed to the end.
    pub target: Option<String>,
}

impl Engine {
    /// The files of a container, which the user named `reference`.
    pub fn files<'a>(
        &self,
        container: &'a Container,
        reference: &'a str,
        purpose: Purpose,
    ) -> Result<Files<'a>, EngineError> {
        let (root, view, lock) = loop {
            if let Some(root) = running_root(container)? {
                break (root, None, None);
            }
            // To look, nobody has to be kept from starting it, and nothing has to be written back afterwards.
            if purpose == Purpose::Read
                && let Ok(view) = self.view(container, Layering::ReadOnly)
            {
                break (root_of(&view)?, Some(view), None);
            }
            // Nor may it be written to by two mounts at once.
            let Some(lock) = container.lock_unless_running()? else {
                // It has just been started, or is about to be started again, which takes a while.
                std::thread::sleep(PAUSE);
                continue;
            };
            let view = self.view(container, Layering::Writable)?;
            break (root_of(&view)?, Some(view), Some(lock));
        };
        Ok(Files { container, reference, root, _view: view, _lock: lock })
    }

    /// Writes all files of a container's root to `target` as an archive, without what is mounted in it.
    pub fn export(&self, container: &Container, target: impl Write) -> Result<(), EngineError> {
        let (view, owners) = loop {
            let started = container.status()?.started().cloned();
            let running = started.as_ref().map(Started::process).transpose()?.flatten();
            let (Some(init), Some(started)) = (running, started) else {
                break (self.bare_view(container)?, Owners::default());
            };
            let (view, owners) = (View::of_bare_root(init.as_fd()), Owners::of_process(started.pid));
            // It may just have ended, and its number be another's.
            if !ends_within(&init, Some(std::time::Duration::ZERO))? {
                break (view.map_err(EngineError::Start)?, owners?);
            }
        };
        let root = Root::of(view.as_fd().try_clone_to_owned()?, Links::Refused);
        let packing = image::layer::Packing::Files;
        let mut packer = image::layer::Packer::new(target, packing).seen_by(owners);
        image::tree::walk::<image::layer::PackError>(&root, Path::new(""), &mut |found| packer.pack(&found))?;
        packer.finish()?;
        self.note(container, "export", &[]);
        Ok(())
    }

    /// The root of a container that does not run, with the files and directories that are mounted there.
    fn view(&self, container: &Container, layering: Layering) -> Result<View, EngineError> {
        let mut config = container.config.clone();
        // What is not there is not mounted: a start would make it.
        config.mounts.retain(|mount| match &mount.source {
            MountSource::Bind(source) => source.exists(),
            _ => true,
        });
        let layers = self.layers_of(container)?;
        let mut volumes = std::collections::HashMap::new();
        for mount in &config.mounts {
            if let MountSource::Volume(name) = &mount.source {
                volumes.insert(name.as_str(), self.volume_directory(name)?);
            }
        }
        let images = self.mounted_images(&config)?;
        let places = Places {
            directory: &container.directory,
            layers: &layers,
            volumes,
            images,
            mounts: &[],
            joined: &spec::Joined::default(),
            // Nobody runs in it: owners are those on disk.
            users: None,
        };
        let mut spec = spec::build(&config, &places)?;
        let mut mounts = spec.mounts().clone().unwrap_or_default();
        if let (Layering::ReadOnly, Some(first)) = (layering, mounts.first_mut()) {
            *first = read_only_overlay(&layers)?;
        }
        // A container that was never started has none of the files that name it to itself.
        mounts.retain(|mount| {
            mount
                .source()
                .as_ref()
                .is_none_or(|source| !source.starts_with(&container.directory) || source.exists())
        });
        spec.set_mounts(Some(mounts));
        View::of_bundle(&spec, &container.directory).map_err(EngineError::Start)
    }

    /// The root of a container that does not run, and nothing else.
    fn bare_view(&self, container: &Container) -> Result<View, EngineError> {
        let layers = self.layers_of(container)?;
        let places = Places {
            directory: &container.directory,
            layers: &layers,
            volumes: Default::default(),
            images: Default::default(),
            mounts: &[],
            joined: &spec::Joined::default(),
            // Nobody runs in it: owners are those on disk.
            users: None,
        };
        let mut config = container.config.clone();
        config.mounts.clear();
        let mut spec = spec::build(&config, &places)?;
        spec.set_mounts(Some(vec![read_only_overlay(&layers)?]));
        View::of_bundle(&spec, &container.directory).map_err(EngineError::Start)
    }

    /// What the container's root consists of.
    pub(super) fn layers_of(&self, container: &Container) -> Result<Layers, EngineError> {
        let image = self.images().image(&container.manifest)?;
        let mut layers = Layers {
            lower: self.images().layer_directories(&image)?,
            upper: container.directory.join("upper"),
            work: container.directory.join("work"),
        };
        self.add_mount_points(&mut layers)?;
        Ok(layers)
    }
}

/// How the layers of a container that does not run are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layering {
    /// What the container wrote is one layer among the others.
    ReadOnly,
    Writable,
}

fn read_only_overlay(layers: &Layers) -> Result<oci_spec::runtime::Mount, EngineError> {
    let all = std::iter::once(layers.upper.as_path()).chain(layers.lower.iter().map(PathBuf::as_path));
    let joined = runtime::join_layers(all);
    let lower = format!("lowerdir={}", spec::utf8(Path::new(&joined))?);
    spec::mount("/", "overlay", "overlay", &[&lower])
}

/// The root directory of a container that runs; `None` if it does not.
fn running_root(container: &Container) -> Result<Option<Root>, EngineError> {
    let Some(started) = container.status()?.started().cloned() else { return Ok(None) };
    let Some(init) = started.process()? else { return Ok(None) };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, format!("/proc/{}/root", started.pid), flags, Mode::empty());
    let owners = Owners::of_process(started.pid);
    // The number was the process's own all the while, if that still lives.
    match ends_within(&init, Some(std::time::Duration::ZERO))? {
        true => Ok(None),
        false => {
            let root = root.map_err(io::Error::from)?;
            Ok(Some(Root::of(root, Links::StayInside).owned_as(owners?)))
        }
    }
}

fn root_of(view: &View) -> io::Result<Root> {
    Ok(Root::of(view.as_fd().try_clone_to_owned()?, Links::StayInside))
}

impl Files<'_> {
    /// What is at `path`. A link at its end is followed only if it ends with a slash or a dot.
    pub fn find(&self, path: &str) -> Result<FileFound, EngineError> {
        let kind = self.kind(path)?;
        if !kind.is_symlink() {
            return Ok(FileFound { kind, target: None });
        }
        let mut target = PathBuf::from(path);
        for _ in 0..MOST_LINKS {
            let Ok(file) = self.root.open_at(&target, OFlags::PATH | OFlags::NOFOLLOW) else { break };
            let Ok(link) = rustix::fs::readlinkat(&file, "", Vec::new()) else { break };
            let link = std::ffi::OsString::from_vec(link.into_bytes());
            target = target.parent().unwrap_or(Path::new("/")).join(link);
        }
        Ok(FileFound { kind, target: Some(target.to_string_lossy().into_owned()) })
    }

    fn kind(&self, path: &str) -> Result<FileType, EngineError> {
        let follow = if follows(path) { OFlags::empty() } else { OFlags::NOFOLLOW };
        let file =
            self.root.open_at(&absolute(path), OFlags::PATH | follow).map_err(|e| self.failed(path, e))?;
        let stat = rustix::fs::statat(&file, "", AtFlags::EMPTY_PATH).map_err(io::Error::from)?;
        Ok(FileType::from_raw_mode(stat.st_mode))
    }

    /// Writes what is at `path`, with everything below it, to `target` as an archive in which `name` stands for it.
    pub fn archive(&self, path: &str, name: &Path, target: impl Write) -> Result<(), EngineError> {
        self.kind(path)?;
        let path = absolute(path);
        let pick = Pick { path: &path, name, follow: follows(&path.to_string_lossy()) };
        Ok(archive::pick(&self.root, pick, &is_of_files, target)?)
    }

    /// Unpacks an archive in the directory `path`.
    pub fn extract(&self, path: &str, source: impl Read) -> Result<(), EngineError> {
        let directory = self.root.open_at(&absolute(path), OFlags::PATH).map_err(|e| self.failed(path, e))?;
        let stat = rustix::fs::statat(&directory, "", AtFlags::EMPTY_PATH).map_err(io::Error::from)?;
        if !FileType::from_raw_mode(stat.st_mode).is_dir() {
            return Err(EngineError::Invalid("extraction point is not a directory".into()));
        }
        self.check_writable(&directory)?;
        let directory = Root::of(directory, Links::Refused).owned_as(self.root.owners().clone());
        copy_in(source, &directory, path, None)
    }

    /// Refuses to write where the container was told not to.
    fn check_writable(&self, directory: &OwnedFd) -> Result<(), EngineError> {
        // Where the directory really is, links followed.
        let place = |fd: &dyn AsRawFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let (root, directory) = (place(&self.root.as_fd())?, place(directory)?);
        let inside = Path::new("/").join(directory.strip_prefix(&root).unwrap_or(&directory));
        let config = &self.container.config;
        let mounts = config.mounts.iter().filter(|mount| inside.starts_with(&mount.destination));
        match mounts.max_by_key(|mount| mount.destination.len()) {
            Some(mount) if mount.read_only => {
                Err(EngineError::Invalid("mounted volume is marked read-only".into()))
            }
            None if config.read_only => {
                Err(EngineError::Invalid("container rootfs is marked read-only".into()))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, path: &str, error: io::Error) -> EngineError {
        match error.kind() {
            io::ErrorKind::NotFound => {
                let path = if path == "/" { path } else { path.trim_end_matches('/') };
                EngineError::NoFile { path: path.to_owned(), container: self.reference.to_owned() }
            }
            io::ErrorKind::NotADirectory => EngineError::Invalid(format!("lstat {path}: not a directory")),
            _ => EngineError::File { path: path.into(), source: error },
        }
    }
}

/// Unpacks an archive, as `cp` does, in the open directory `root`, which the user called `place`.
pub fn copy_in(
    source: impl Read,
    root: &Root,
    place: &str,
    owner: Option<image::tree::Owner>,
) -> Result<(), EngineError> {
    match archive::copy_in(source, root, owner) {
        Err(ArchiveError::Unpack(UnpackError::InTheWay { entry, directory })) => {
            let entry = String::from_utf8_lossy(&entry).trim_end_matches('/').to_owned();
            let path = Path::new(place).join(entry);
            let (there, new) =
                if directory { ("directory", "non-directory") } else { ("non-directory", "directory") };
            let place = place.trim_end_matches('/');
            let place = if place.is_empty() { "/" } else { place };
            Err(EngineError::Invalid(format!("cannot overwrite {there} {path:?} with {new} {place:?}")))
        }
        other => Ok(other?),
    }
}

/// The path from the root, with the slash or dot at its end that means something.
fn absolute(path: &str) -> PathBuf {
    PathBuf::from(format!("/{}", path.trim_start_matches('/')))
}

/// Whether a path means what a link at its end leads to.
fn follows(path: &str) -> bool {
    path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..") || matches!(path, "" | "." | "..")
}

/// Whether a directory is to be gone into: what the kernel makes up is no file of the container's.
fn is_of_files(found: &Found<'_>) -> bool {
    let kind = open_child_directory(found.parent, found.name)
        .and_then(|directory| Ok(rustix::fs::fstatfs(&directory)?.f_type as i64));
    kind.is_ok_and(|kind| !KERNELS.contains(&kind))
}

/// File systems without files: proc, sysfs, cgroup, cgroup2, devpts, mqueue. See statfs(2).
const KERNELS: [i64; 6] = [0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270, 0x1cd1, 0x1980_0202];
const MOST_LINKS: usize = 40;
