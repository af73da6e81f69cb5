//! Unpacks an archive from a stranger below a directory, and nowhere else.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fs::File,
    io::{self, BufRead, Seek, SeekFrom, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, makedev},
    io::Errno,
};

use super::{
    space::{Space, SpaceError},
    whiteout::{self, Meaning},
};
use crate::{
    tarball::{Entry, Kind, Reader, Segment, TarError, Time},
    tree::{self, Attributes, Owner, Root, is_kept_xattr, open_child_directory},
};

/// What an archive is unpacked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A layer: whiteouts take overlayfs's form.
    Layer,
    /// Files for a tree that has some already, all owned by `owner` if one is given.
    Files { owner: Option<Owner> },
    /// Files that are copied over a tree, all owned by `owner` if one is given. No directory takes the place of
    /// anything else, nor anything else that of a directory. The root stays as it is.
    Copy { owner: Option<Owner> },
}

/// What came of unpacking.
#[derive(Debug, Default)]
pub struct Unpacked {
    /// The sizes of all files.
    pub size: u64,
    /// Directories that had to be made although the archive does not describe them, outermost first.
    pub implied: Vec<PathBuf>,
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error(transparent)]
    Archive(#[from] TarError),
    #[error("refused \"{}\" in the archive: {why}", .entry.escape_ascii())]
    Refused { entry: Vec<u8>, why: &'static str },
    /// A directory where a file was to be copied, or the other way round.
    #[error("{} is in the way of \"{}\"", if *.directory { "a directory" } else { "something that is no directory" }, .entry.escape_ascii())]
    InTheWay { entry: Vec<u8>, directory: bool },
    #[error("cannot unpack \"{}\"", .entry.escape_ascii())]
    Write { entry: Vec<u8>, source: io::Error },
    #[error(transparent)]
    Space(#[from] SpaceError),
}

/// Unpacks all entries of `archive` below `root`. What follows the archive in the stream is left there.
///
/// On an error, whatever was made so far stays for the caller to remove.
pub fn unpack<R: BufRead>(archive: &mut Reader<R>, root: &Root, form: Form) -> Result<Unpacked, UnpackError> {
    let mut unpacker = Unpacker {
        root,
        form,
        current: None,
        directories: BTreeMap::new(),
        implied: BTreeSet::new(),
        names: 0,
        size: 0,
        space: Space::on(root)?,
    };
    while let Some(entry) = archive.next_entry()? {
        match unpacker.place(&entry, archive) {
            Ok(()) => {}
            Err(Failure::InTheWay { directory }) => {
                return Err(UnpackError::InTheWay { entry: entry.path, directory });
            }
            Err(Failure::Refused(why)) => return Err(UnpackError::Refused { entry: entry.path, why }),
            Err(Failure::Io(source)) => return Err(UnpackError::Write { entry: entry.path, source }),
            Err(Failure::Archive(error)) => return Err(error.into()),
            Err(Failure::Space(error)) => return Err(error.into()),
        }
    }
    unpacker.finish().map_err(|source| UnpackError::Write { entry: Vec::new(), source })
}

/// [`UnpackError`], before it is known at which entry.
enum Failure {
    Refused(&'static str),
    InTheWay { directory: bool },
    Io(io::Error),
    Archive(TarError),
    Space(SpaceError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl From<SpaceError> for Failure {
    fn from(error: SpaceError) -> Failure {
        Failure::Space(error)
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Failure {
        Failure::Io(error.into())
    }
}

struct Unpacker<'a> {
    root: &'a Root,
    form: Form,
    /// The directory worked in last: archives list a directory's content together.
    current: Option<(PathBuf, OwnedFd)>,
    /// When each directory made here was modified. Set at the end, because filling it changes that.
    directories: BTreeMap<PathBuf, Time>,
    implied: BTreeSet<PathBuf>,
    /// Bytes that `directories` holds in names.
    names: usize,
    size: u64,
    space: Space<'a>,
}

impl Unpacker<'_> {
    fn place<R: BufRead>(&mut self, entry: &Entry, archive: &mut Reader<R>) -> Result<(), Failure> {
        let path = self.checked_path(&entry.path)?;
        if entry.xattrs.iter().any(|(name, _)| whiteout::is_overlays(name)) {
            return Err(Failure::Refused("it has an attribute that belongs to overlayfs"));
        }
        let Some(name) = path.file_name() else {
            return match entry.kind {
                Kind::Directory if matches!(self.form, Form::Copy { .. }) => Ok(()),
                Kind::Directory => self.describe_root(entry),
                _ => Err(Failure::Refused("the root can only be a directory")),
            };
        };
        let parent_path = path.parent().expect("a path with a file name has a parent");
        self.enter(parent_path)?;
        if self.form == Form::Layer {
            match whiteout::meaning(name.as_bytes()) {
                Meaning::Ordinary => {}
                Meaning::Strange => return Err(Failure::Refused("no whiteout has such a name")),
                _ if !matches!(entry.kind, Kind::File { .. }) => {
                    return Err(Failure::Refused("a whiteout can only be a file"));
                }
                Meaning::Gone(hidden) => return self.hide(Path::new(OsStr::from_bytes(hidden))),
                Meaning::Opaque if parent_path.as_os_str().is_empty() => {
                    return Err(Failure::Refused("the root of a layer cannot be opaque"));
                }
                Meaning::Opaque => {
                    let directory = open_child_directory(self.here(), Path::new("."))?;
                    return Ok(whiteout::set_opaque(directory.as_fd())?);
                }
            }
        }
        let name = Path::new(name);
        match &entry.kind {
            Kind::File { size } => self.file(&path, name, *size, entry, archive),
            Kind::Directory => self.directory(&path, name, entry),
            Kind::HardLink { target } => self.hard_link(&path, name, target),
            Kind::Symlink { target } => {
                self.create(&path, name, |at| rustix::fs::symlinkat(target.as_slice(), at, name))?;
                Ok(self.attributes(entry)?.apply_to_child(self.here(), name, true)?)
            }
            Kind::Fifo => self.node(&path, name, FileType::Fifo, (0, 0), entry),
            Kind::Character { major: 0, minor: 0 } => {
                Err(Failure::Refused("a device 0:0 would be a whiteout"))
            }
            Kind::Character { major, minor } => {
                self.node(&path, name, FileType::CharacterDevice, (*major, *minor), entry)
            }
            Kind::Block { major, minor } => {
                self.node(&path, name, FileType::BlockDevice, (*major, *minor), entry)
            }
        }
    }

    /// The path of an entry, relative and without anything that could lead elsewhere.
    fn checked_path(&self, path: &[u8]) -> Result<PathBuf, Failure> {
        if path.len() > LONGEST_PATH {
            return Err(Failure::Refused("its name is longer than 4096 bytes"));
        }
        let path = Path::new(OsStr::from_bytes(path));
        let path = tree::relative(path).map_err(|_| Failure::Refused("its name has a \"..\""))?;
        let whiteout_above =
            path.parent().into_iter().flatten().any(|n| n.as_bytes().starts_with(whiteout::PREFIX));
        if self.form == Form::Layer && whiteout_above {
            return Err(Failure::Refused("it is below a whiteout"));
        }
        Ok(path)
    }

    /// Makes the directory at `path` the current one, and makes it first if the archive did not.
    fn enter(&mut self, path: &Path) -> Result<(), Failure> {
        if self.current.as_ref().is_some_and(|(current, _)| current == path) {
            return Ok(());
        }
        let directory = match self.root.directory(path) {
            Ok(directory) => directory,
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NOTDIR) => self.imply(path)?,
                Some(Errno::LOOP) => return Err(Failure::Refused("it is below a symbolic link")),
                _ => return Err(error.into()),
            },
        };
        self.current = Some((path.to_owned(), directory));
        Ok(())
    }

    /// Makes the missing directories on the way to `path`.
    fn imply(&mut self, path: &Path) -> Result<OwnedFd, Failure> {
        if let Form::Files { owner } | Form::Copy { owner } = self.form {
            return self
                .root
                .make_directories(path, IMPLIED_MODE, owner.unwrap_or_default(), &mut |_| {})
                .map_err(|error| match Errno::from_io_error(&error) {
                    Some(Errno::NOTDIR) => Failure::Refused("it is below something that is not a directory"),
                    _ => Failure::Io(error),
                });
        }
        let mut directory = self.root.directory(Path::new(""))?;
        let mut so_far = PathBuf::new();
        for part in path.components() {
            let name = Path::new(part.as_os_str());
            so_far.push(name);
            let (is_new, hides) = match rustix::fs::mkdirat(&directory, name, Mode::RWXU) {
                Ok(()) => (true, false),
                Err(Errno::EXIST) if whiteout::is_whiteout_at(directory.as_fd(), name)? => {
                    tree::remove(directory.as_fd(), name)?;
                    rustix::fs::mkdirat(&directory, name, Mode::RWXU)?;
                    (true, true)
                }
                Err(Errno::EXIST) => (false, false),
                Err(error) => return Err(error.into()),
            };
            directory = match open_child_directory(&directory, name) {
                Ok(child) => child,
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::NOTDIR | Errno::LOOP) => {
                        return Err(Failure::Refused("it is below something that is not a directory"));
                    }
                    _ => return Err(error.into()),
                },
            };
            if is_new {
                Attributes { mode: IMPLIED_MODE, ..Attributes::default() }
                    .apply_untimed(directory.as_fd())?;
                self.remember(&so_far, Time::default())?;
            }
            match (is_new, hides) {
                // Nothing below counts any more, so nothing is missing.
                (true, true) => whiteout::set_opaque(directory.as_fd())?,
                (true, false) => {
                    self.implied.insert(so_far.clone());
                }
                (false, _) => {}
            }
        }
        Ok(directory)
    }

    fn describe_root(&mut self, entry: &Entry) -> Result<(), Failure> {
        let directory = self.root.open_at(Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY)?;
        self.attributes(entry)?.apply_untimed(directory.as_fd())?;
        self.remember(Path::new(""), entry.mtime)
    }

    fn directory(&mut self, path: &Path, name: &Path, entry: &Entry) -> Result<(), Failure> {
        let mut hides = false;
        match rustix::fs::mkdirat(self.here(), name, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = rustix::fs::statat(self.here(), name, AtFlags::SYMLINK_NOFOLLOW)?;
                if !FileType::from_raw_mode(stat.st_mode).is_dir() {
                    if matches!(self.form, Form::Copy { .. }) {
                        return Err(Failure::InTheWay { directory: false });
                    }
                    hides = self.form == Form::Layer && whiteout::is_whiteout(&stat);
                    tree::remove(self.here(), name)?;
                    rustix::fs::mkdirat(self.here(), name, Mode::RWXU)?;
                }
            }
            Err(error) => return Err(error.into()),
        }
        let directory = open_child_directory(self.here(), name)?;
        self.attributes(entry)?.apply_untimed(directory.as_fd())?;
        if hides {
            whiteout::set_opaque(directory.as_fd())?;
        }
        self.implied.remove(path);
        self.remember(path, entry.mtime)?;
        self.current = Some((path.to_owned(), directory));
        Ok(())
    }

    fn file<R: BufRead>(
        &mut self,
        path: &Path,
        name: &Path,
        size: u64,
        entry: &Entry,
        archive: &mut Reader<R>,
    ) -> Result<(), Failure> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            self.create(path, name, |at| rustix::fs::openat(at, name, flags, Mode::RUSR | Mode::WUSR))?;
        let mut file = File::from(file);
        let segments = archive.segments().map(<[Segment]>::to_vec);
        self.fill(&mut file, size, segments.as_deref(), archive)?;
        self.size = self.size.saturating_add(size);
        Ok(self.attributes(entry)?.apply(file.as_fd())?)
    }

    /// Writes the current entry's content. Holes, and long stretches of zeros, take no space.
    fn fill<R: BufRead>(
        &mut self,
        file: &mut File,
        size: u64,
        segments: Option<&[Segment]>,
        archive: &mut Reader<R>,
    ) -> Result<(), Failure> {
        let whole = [Segment { offset: 0, length: size }];
        // Up to where the file has been written.
        let mut end = 0;
        for segment in segments.unwrap_or(&whole) {
            let mut position = segment.offset;
            if position > 0 {
                file.seek(SeekFrom::Start(position))?;
            }
            let mut left = segment.length;
            while left > 0 {
                let mut content = archive.content();
                let part = match content.fill_buf() {
                    Ok(part) => part,
                    Err(error) => return Err(Failure::Archive(content.failed(error))),
                };
                let part = &part[..part.len().min(left.min(STRETCH) as usize)];
                let length = part.len();
                position += length as u64;
                if is_hole(part) {
                    file.seek(SeekFrom::Start(position))?;
                } else {
                    file.write_all(part)?;
                    end = position;
                }
                content.consume(length);
                left -= length as u64;
                self.space.wrote(length as u64)?;
            }
        }
        if end != size {
            file.set_len(size)?;
        }
        Ok(())
    }

    fn hard_link(&mut self, path: &Path, name: &Path, target: &[u8]) -> Result<(), Failure> {
        const NOT_HERE: Failure =
            Failure::Refused("it is a hard link to something that is no file of the archive");
        let target = self.checked_path(target)?;
        let (Some(target_name), Some(target_parent)) = (target.file_name(), target.parent()) else {
            return Err(NOT_HERE);
        };
        if target == path {
            return Err(Failure::Refused("it is a hard link to itself"));
        }
        let from = self.root.directory(target_parent).map_err(|_| NOT_HERE)?;
        let stat = rustix::fs::statat(&from, target_name, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| NOT_HERE)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(NOT_HERE);
        }
        self.create(path, name, |at| rustix::fs::linkat(&from, target_name, at, name, AtFlags::empty()))
    }

    fn node(
        &mut self,
        path: &Path,
        name: &Path,
        kind: FileType,
        (major, minor): (u32, u32),
        entry: &Entry,
    ) -> Result<(), Failure> {
        let device = makedev(major, minor);
        let mode = Mode::RUSR | Mode::WUSR;
        match self.create(path, name, |at| rustix::fs::mknodat(at, name, kind, mode, device)) {
            // In a user namespace nobody makes devices, and containers get theirs from the engine anyway.
            Err(Failure::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Ok(self.attributes(entry)?.apply_to_child(self.here(), name, false)?),
        }
    }

    /// Runs `make`, which fails if something is at `name`; in that case removes that and tries again.
    fn create<T>(
        &mut self,
        path: &Path,
        name: &Path,
        make: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> Result<T, Failure> {
        match make(self.here()) {
            Err(Errno::EXIST) => {
                if matches!(self.form, Form::Copy { .. }) {
                    let stat = rustix::fs::statat(self.here(), name, AtFlags::SYMLINK_NOFOLLOW)?;
                    if FileType::from_raw_mode(stat.st_mode).is_dir() {
                        return Err(Failure::InTheWay { directory: true });
                    }
                }
                tree::remove(self.here(), name)?;
                // If it was a directory, what it held is gone too.
                self.directories.retain(|known, _| !known.starts_with(path));
                self.implied.retain(|known| !known.starts_with(path));
                Ok(make(self.here())?)
            }
            result => Ok(result?),
        }
    }

    /// Hides `name` of the layers below. What this layer itself has there stays.
    fn hide(&mut self, name: &Path) -> Result<(), Failure> {
        match whiteout::make(self.here(), name) {
            Err(Errno::EXIST) => match open_child_directory(self.here(), name) {
                Ok(directory) => Ok(whiteout::set_opaque(directory.as_fd())?),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::NOTDIR | Errno::LOOP) => Ok(()),
                    _ => Err(error.into()),
                },
            },
            result => Ok(result?),
        }
    }

    fn remember(&mut self, path: &Path, mtime: Time) -> Result<(), Failure> {
        if self.directories.insert(path.to_owned(), mtime).is_none() {
            self.names += path.as_os_str().len() + 64;
        }
        if self.names > NAMES_LIMIT {
            return Err(Failure::Refused("the archive has too many directories"));
        }
        Ok(())
    }

    fn attributes(&self, entry: &Entry) -> io::Result<Attributes> {
        let given = match self.form {
            Form::Layer => None,
            Form::Files { owner } | Form::Copy { owner } => owner,
        };
        let owner = given.unwrap_or(Owner { uid: entry.uid, gid: entry.gid });
        let kept = entry.xattrs.iter().filter(|(name, _)| is_kept_xattr(name));
        let outside =
            |name: &[u8], value: &Vec<u8>| self.root.owners().attribute_outside(name, value.clone());
        Ok(Attributes {
            mode: entry.mode,
            owner: self.root.owners().outside(owner)?,
            mtime: entry.mtime,
            xattrs: kept.map(|(name, value)| (name.clone(), outside(name, value))).collect(),
        })
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.current.as_ref().expect("entered before an entry is placed").1.as_fd()
    }

    /// Sets the directories' times, now that nothing changes in them any more.
    fn finish(mut self) -> io::Result<Unpacked> {
        for (path, mtime) in std::mem::take(&mut self.directories) {
            let directory = self.root.open_at(&path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            tree::touch_child(directory, Path::new("."), mtime)?;
        }
        Ok(Unpacked { size: self.size, implied: self.implied.into_iter().collect() })
    }
}

/// Whether a stretch of content is worth leaving out.
fn is_hole(content: &[u8]) -> bool {
    content.len() >= 4096 && content[0] == 0 && content.iter().all(|b| *b == 0)
}

/// How much is looked at for zeros, and written, at once.
const STRETCH: u64 = 64 << 10;
const LONGEST_PATH: usize = 4096;
/// What directories have that no layer describes.
const IMPLIED_MODE: u32 = 0o755;
const NAMES_LIMIT: usize = 64 << 20;
