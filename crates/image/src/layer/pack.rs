//! Packs a layer's directory, or files from anywhere, into an archive: always the same bytes for the same files.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FileType, Mode, OFlags, major, minor};

use super::whiteout;
use crate::{
    tarball::{Entry, Kind, Time, Writer},
    tree::{Attributes, Found, Owners, Root, open_child_directory, walk_merged},
};

/// What was packed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Packed {
    /// The sizes of all files.
    pub size: u64,
}

/// Why a directory was not packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("cannot pack {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot pack {}: it has its content in another layer", .path.display())]
    Redirected { path: PathBuf },
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    #[error("cannot pack a directory")]
    Walk(#[from] io::Error),
}

/// Writes the files of a layer to `target` as an archive: sorted by name, whiteouts in their archived form,
/// several names of one file as hard links, without user names, times in whole seconds. The root itself
/// and sockets are left out. Of several trees, what is in an earlier one stands for what is in a later one.
pub fn pack(trees: &[Root], target: impl Write) -> Result<Packed, PackError> {
    let mut packer = Packer::new(target, Packing::Layer);
    walk_merged(trees, &mut |found| packer.pack(&found))?;
    packer.finish()
}

/// Writes one file after the other as [`pack`] does.
pub struct Packer<W: Write> {
    writer: Writer<W>,
    packing: Packing,
    /// What stands before all names.
    prefix: PathBuf,
    /// The first name of each file that has several, by device and inode.
    linked: HashMap<(u64, u64), Vec<u8>>,
    packed: Packed,
    owners: Owners,
}

/// What is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// A layer, whose whiteouts and opaque directories say what is gone below it.
    Layer,
    /// Files that stand for themselves, whichever layers they come from.
    Files,
}

impl<W: Write> Packer<W> {
    pub fn new(target: W, packing: Packing) -> Packer<W> {
        let writer = Writer::new(target);
        let (prefix, linked) = (PathBuf::new(), HashMap::new());
        let (packed, owners) = (Packed::default(), Owners::default());
        Packer { writer, packing, prefix, linked, packed, owners }
    }

    /// Packs files of a user namespace, with the owners that they have there.
    pub fn seen_by(self, owners: Owners) -> Packer<W> {
        Packer { owners, ..self }
    }

    /// Begins a tree of its own in the directory `name`: what follows goes there, and is linked to nothing before it.
    pub fn begin(&mut self, name: &str) -> Result<(), PackError> {
        self.linked.clear();
        self.prefix = PathBuf::from(name);
        let attributes = Attributes { mode: 0o755, ..Attributes::default() };
        self.entry(&entry(format!("{name}/").into(), Kind::Directory, attributes))
    }

    /// Adds what was found; a directory comes before what is in it. The answer is for whoever walks: whether it is one.
    pub fn pack(&mut self, found: &Found<'_>) -> Result<bool, PackError> {
        let name = self.prefix.join(found.path);
        self.pack_as(found, &name)
    }

    /// [`Packer::pack`], under a name of its own.
    pub fn pack_as(&mut self, found: &Found<'_>, name: &Path) -> Result<bool, PackError> {
        let read = |source| PackError::Read { path: found.path.to_owned(), source };
        let name = name.as_os_str().as_bytes().to_vec();
        match found.file_type() {
            _ if self.packing == Packing::Layer && whiteout::is_whiteout(&found.stat) => {
                let parent = found.path.parent().unwrap_or(Path::new(""));
                let hidden = [whiteout::PREFIX, found.name.as_os_str().as_bytes()].concat();
                self.marker(parent, &hidden)?;
            }
            FileType::Directory => {
                let directory = open_child_directory(found.parent, found.name).map_err(read)?;
                self.check_whole(&directory, found)?;
                let attributes = Attributes::of(directory.as_fd()).map_err(read)?;
                let path = [name.as_slice(), b"/"].concat();
                self.entry(&self.described(path, Kind::Directory, attributes))?;
                if self.packing == Packing::Layer && whiteout::is_opaque(directory.as_fd()).map_err(read)? {
                    self.marker(found.path, whiteout::OPAQUE_NAME)?;
                }
                return Ok(true);
            }
            FileType::RegularFile => self.file(found, name)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(found.parent, found.name, Vec::new());
                let target = target.map_err(|e| read(e.into()))?.into_bytes();
                self.other(found, name, Kind::Symlink { target })?;
            }
            FileType::CharacterDevice => {
                let (major, minor) = (major(found.stat.st_rdev), minor(found.stat.st_rdev));
                self.other(found, name, Kind::Character { major, minor })?;
            }
            FileType::BlockDevice => {
                let (major, minor) = (major(found.stat.st_rdev), minor(found.stat.st_rdev));
                self.other(found, name, Kind::Block { major, minor })?;
            }
            FileType::Fifo => self.other(found, name, Kind::Fifo)?,
            _ => {}
        }
        Ok(false)
    }

    /// Writes the end of the archive.
    pub fn finish(self) -> Result<Packed, PackError> {
        self.writer.finish().map_err(PackError::Write)?;
        Ok(self.packed)
    }

    fn file(&mut self, found: &Found<'_>, name: Vec<u8>) -> Result<(), PackError> {
        let read = |source| PackError::Read { path: found.path.to_owned(), source };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(found.parent, found.name, flags, Mode::empty());
        let file: OwnedFd = file.map_err(|e| read(e.into()))?;
        let stat = rustix::fs::fstat(&file).map_err(|e| read(e.into()))?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(read(io::Error::other("it changed while it was packed")));
        }
        self.check_whole(&file, found)?;
        let attributes = Attributes::of_open(file.as_fd(), &stat).map_err(read)?;
        if stat.st_nlink > 1 {
            match self.linked.entry((stat.st_dev, stat.st_ino)) {
                std::collections::hash_map::Entry::Occupied(first) => {
                    let target = first.get().clone();
                    let link = self.described(name, Kind::HardLink { target }, attributes);
                    // The first name has them already.
                    return self.entry(&Entry { xattrs: Vec::new(), ..link });
                }
                std::collections::hash_map::Entry::Vacant(first) => first.insert(name.clone()),
            };
        }
        let size = stat.st_size as u64;
        self.packed.size += size;
        let entry = self.described(name, Kind::File { size }, attributes);
        self.writer.file(&entry, File::from(file)).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => read(io::Error::other("it shrank while it was packed")),
            _ => PackError::Write(error),
        })
    }

    fn other(&mut self, found: &Found<'_>, name: Vec<u8>, kind: Kind) -> Result<(), PackError> {
        let attributes = Attributes::of_child(found.parent, found.name);
        let attributes =
            attributes.map_err(|source| PackError::Read { path: found.path.to_owned(), source })?;
        self.entry(&self.described(name, kind, attributes))
    }

    /// An entry for a file with these attributes.
    fn described(&self, name: Vec<u8>, kind: Kind, attributes: Attributes) -> Entry {
        let owner = self.owners.inside(attributes.owner);
        let mut xattrs = attributes.xattrs;
        for (name, value) in &mut xattrs {
            *value = self.owners.attribute_inside(name, std::mem::take(value));
        }
        entry(name, kind, Attributes { owner, xattrs, ..attributes })
    }

    /// An empty file whose name is all that matters.
    fn marker(&mut self, directory: &Path, name: &[u8]) -> Result<(), PackError> {
        let path = directory.join(Path::new(std::ffi::OsStr::from_bytes(name)));
        let path = path.into_os_string().into_encoded_bytes();
        self.entry(&entry(path, Kind::File { size: 0 }, Attributes::default()))
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), PackError> {
        self.writer.entry(entry).map_err(PackError::Write)
    }

    /// An overlay that renames directories or copies only metadata leaves layers that make no sense alone.
    fn check_whole(&self, file: &OwnedFd, found: &Found<'_>) -> Result<(), PackError> {
        match whiteout::is_redirected(file.as_fd()) {
            Ok(false) => Ok(()),
            Ok(true) => Err(PackError::Redirected { path: found.path.to_owned() }),
            Err(source) => Err(PackError::Read { path: found.path.to_owned(), source }),
        }
    }
}

fn entry(path: Vec<u8>, kind: Kind, attributes: Attributes) -> Entry {
    Entry {
        path,
        kind,
        mode: attributes.mode,
        uid: attributes.owner.uid,
        gid: attributes.owner.gid,
        mtime: Time { nanoseconds: 0, ..attributes.mtime },
        xattrs: attributes.xattrs,
    }
}
