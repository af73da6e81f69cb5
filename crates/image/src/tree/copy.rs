//! Copies files and directories from one tree into another, as COPY and ADD do.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

use super::{Attributes, Directories, Found, Owner, Root, crew::Crew, open_child_directory, walk};
use crate::tarball::Time;

/// What copies get instead of their sources' attributes.
#[derive(Clone, Copy, Default)]
pub struct CopyOptions<'a> {
    pub owner: Option<Owner>,
    /// The permission bits of a copy of something of this kind with these bits.
    pub mode: Option<&'a dyn Fn(FileType, u32) -> u32>,
    pub mtime: Option<Time>,
    /// Extended attributes are copied too.
    pub xattrs: bool,
    /// What to do with each thing found below a source directory, by its path from there; all are taken if
    /// there is no such choice.
    pub choose: Option<&'a Choose<'a>>,
}

/// Decides about one thing below a source directory by its path from there.
pub type Choose<'a> = dyn Fn(&Path, FileType) -> Choice + 'a;

/// What becomes of one thing below a directory that is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Take,
    /// Not taken, nor anything below it.
    Skip,
    /// Not taken for itself, but something below it may be.
    Descend,
}

/// Makes `target` in `to` a copy of `source` in `from`.
///
/// A directory's content is merged into the directory `target`. A file or a link replaces what is at
/// `target`, unless that is a directory. The directories above `target` are made with mode 0755 where they
/// are missing. Sockets are left out.
pub fn copy(
    from: &Root,
    source: &Path,
    to: &Root,
    target: &Path,
    options: CopyOptions<'_>,
) -> io::Result<()> {
    let parent = to.make_directories(
        target.parent().unwrap_or(Path::new("")),
        NEW_DIRECTORY_MODE,
        options.owner.unwrap_or_default(),
        &mut |_| {},
    )?;
    let stat = from.stat(source)?;
    if FileType::from_raw_mode(stat.st_mode).is_dir() {
        return copy_directory(from, source, to, target, options);
    }
    let source_parent = from.directory(source.parent().unwrap_or(Path::new("")))?;
    let (Some(source_name), Some(name)) = (source.file_name(), target.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let found = Found { path: source, parent: source_parent.as_fd(), name: Path::new(source_name), stat };
    copy_found(&found, parent.as_fd(), Path::new(name), options)
}

fn copy_directory(
    from: &Root,
    source: &Path,
    to: &Root,
    target: &Path,
    options: CopyOptions<'_>,
) -> io::Result<()> {
    let owner = options.owner.unwrap_or_default();
    let mut is_new = false;
    to.make_directories(target, NEW_DIRECTORY_MODE, owner, &mut |_| is_new = true)?;
    // Everything below is reached from here without links: those in `to` may not redirect what we copy.
    let into = Root::of(to.directory(target)?, super::Links::Refused);
    let mut parents = Directories::of(&into);
    // Filling a directory changes its times, so they are set when all is copied.
    let mut times = Vec::new();
    // Where the copies are of files that have several names.
    let mut copies: HashMap<(u64, u64), PathBuf> = HashMap::new();
    if is_new {
        let attributes = Attributes::of(from.open_at(source, READ_DIRECTORY)?.as_fd())?;
        let attributes = options.over(FileType::Directory, attributes);
        let directory = into.open_at(Path::new(""), READ_DIRECTORY)?;
        attributes.apply_untimed(directory.as_fd())?;
        times.push((Path::new("").to_owned(), attributes.mtime));
    }
    thread::scope(|scope| {
        let mut crew = Crew::new(scope, options.xattrs);
        let walked = walk(from, source, &mut |found: Found<'_>| -> io::Result<bool> {
            match options.choose.map_or(Choice::Take, |choose| choose(found.path, found.file_type())) {
                Choice::Skip => return Ok(false),
                Choice::Descend => return Ok(true),
                Choice::Take => {}
            }
            let parent_path = found.path.parent().unwrap_or(Path::new(""));
            let parent = parents.get(parent_path, |path| {
                into.make_directories(path, NEW_DIRECTORY_MODE, owner, &mut |_| {})
            })?;
            if !found.file_type().is_dir() {
                let file = (found.stat.st_dev, found.stat.st_ino);
                let has_several_names = found.stat.st_nlink > 1;
                match copies.get(&file).filter(|_| has_several_names) {
                    Some(copy) => link(&into, copy, parent, found.name)?,
                    None if found.file_type().is_file() && !has_several_names => {
                        let attributes = Attributes::from_stat(&found.stat);
                        crew.copy(&found, parent, options.over(FileType::RegularFile, attributes))?;
                    }
                    None => copy_found(&found, parent, found.name, options)?,
                }
                if has_several_names {
                    copies.entry(file).or_insert_with(|| found.path.to_owned());
                }
                return Ok(false);
            }
            match rustix::fs::mkdirat(parent, found.name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            let source = open_child_directory(found.parent, found.name)?;
            let attributes = options.over(FileType::Directory, Attributes::of(source.as_fd())?);
            attributes.apply_untimed(open_child_directory(parent, found.name)?.as_fd())?;
            times.push((found.path.to_owned(), attributes.mtime));
            Ok(true)
        });
        // What has failed in one of its threads is why the walk has failed.
        crew.finish().and(walked)
    })?;
    for (path, mtime) in times {
        super::metadata::touch_child(into.open_at(&path, READ_DIRECTORY)?, Path::new("."), mtime)?;
    }
    Ok(())
}

/// Makes `name` in `parent` another name of the file at `first` in `into`, and takes away what had that name.
pub fn link(into: &Root, first: &Path, parent: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    let directory = into.directory(first.parent().unwrap_or(Path::new("")))?;
    super::remove(parent, name)?;
    Ok(rustix::fs::linkat(directory, first.file_name().unwrap_or_default(), parent, name, AtFlags::empty())?)
}

/// Copies anything but a directory, as `name` in `parent`, where it replaces anything but a directory.
pub fn copy_found(
    found: &Found<'_>,
    parent: BorrowedFd<'_>,
    name: &Path,
    options: CopyOptions<'_>,
) -> io::Result<()> {
    match found.file_type() {
        FileType::RegularFile => {
            let attributes = options.over(FileType::RegularFile, Attributes::from_stat(&found.stat));
            copy_file((found.parent, found.name), (parent, name), attributes, options.xattrs)
        }
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(found.parent, found.name, Vec::new())?;
            replacing(parent, name, || rustix::fs::symlinkat(&link, parent, name))?;
            let attributes = options.over(found.file_type(), Attributes::of_child(found.parent, found.name)?);
            attributes.apply_to_child(parent, name, true)
        }
        kind @ (FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo) => {
            let (mode, device) = (Mode::RUSR | Mode::WUSR, found.stat.st_rdev);
            replacing(parent, name, || rustix::fs::mknodat(parent, name, kind, mode, device))?;
            let attributes = options.over(found.file_type(), Attributes::of_child(found.parent, found.name)?);
            attributes.apply_to_child(parent, name, false)
        }
        _ => Ok(()),
    }
}

/// Makes a copy of a file, both by directory and name. The copy gets `attributes`, and the file's own extended attributes if
/// `xattrs` says so.
pub(super) fn copy_file(
    (from, source): (BorrowedFd<'_>, &Path),
    (to, name): (BorrowedFd<'_>, &Path),
    mut attributes: Attributes,
    xattrs: bool,
) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let source: OwnedFd = rustix::fs::openat(from, source, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&source)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(io::Error::other("the file changed while it was copied"));
    }
    if xattrs {
        attributes.xattrs = Attributes::of_open(source.as_fd(), &stat)?.xattrs;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(attributes.mode & 0o777);
    let target = replacing(to, name, || rustix::fs::openat(to, name, flags, mode))?;
    let mut target = File::from(target);
    copy_content(File::from(source), stat.st_size as u64, &mut target)?;
    attributes.apply(target.as_fd())
}

/// Copies the `size` bytes of a file. For a small one, reading and writing it takes less time than asking the kernel to.
fn copy_content(mut source: File, size: u64, target: &mut File) -> io::Result<()> {
    if size > SMALL {
        if rustix::fs::ioctl_ficlone(&*target, &source).is_err() {
            io::copy(&mut source, target)?;
        }
        return Ok(());
    }
    let mut buffer = [0; SMALL as usize];
    let mut left = size;
    while left > 0 {
        match source.read(&mut buffer)? {
            0 => break,
            length => {
                target.write_all(&buffer[..length])?;
                left = left.saturating_sub(length as u64);
            }
        }
    }
    Ok(())
}

/// Makes something, after removing what has its name if something has.
fn replacing<T>(
    parent: BorrowedFd<'_>,
    name: &Path,
    make: impl Fn() -> rustix::io::Result<T>,
) -> io::Result<T> {
    match make() {
        Err(Errno::EXIST) => {
            rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
            Ok(make()?)
        }
        made => Ok(made?),
    }
}

impl CopyOptions<'_> {
    /// What a copy gets whose source has `attributes`.
    fn over(&self, kind: FileType, attributes: Attributes) -> Attributes {
        Attributes {
            mode: self.mode.map_or(attributes.mode, |mode| mode(kind, attributes.mode)),
            owner: self.owner.unwrap_or(attributes.owner),
            mtime: self.mtime.unwrap_or(attributes.mtime),
            xattrs: if self.xattrs { attributes.xattrs } else { Vec::new() },
        }
    }
}

const NEW_DIRECTORY_MODE: u32 = 0o755;
const SMALL: u64 = 16 << 10;
const READ_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);
