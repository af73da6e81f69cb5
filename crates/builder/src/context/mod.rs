//! Where COPY and ADD take files from: the build context, or a file system that the build has made.
//!
//! Nothing outside it is ever reached: paths and links are resolved as if it were the root. What the ignore file leaves
//! out is not there at all. Files are known by content, mode and link target, those of a file system also by owner and
//! extended attributes: in the build context these are the user's machine's. They are not known by time.

mod index;
mod sieve;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{self, Read},
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use image::tree::{self, Attributes, Directories, Found, Root};
use rustix::fs::{AtFlags, FileType, OFlags, Stat, statat};
use types::{
    Digest,
    wildcard::{self, BadPattern},
};

use crate::{
    graph::Selection,
    ignore::{Ignore, InvalidPattern},
    path,
    stack::Stack,
};
pub use index::{Fingerprint, Index};
use sieve::Sieve;

/// Something to copy from.
pub struct Context {
    /// The context's directory, or a file system's layers.
    stack: Stack,
    ignore: Ignore,
    index: Mutex<Index>,
    /// Files belong to whom they belong to here.
    pub keeps_owners: bool,
}

/// A file, or a directory with what is in it, as one source of a COPY.
#[derive(Debug)]
pub struct Tree {
    /// From the context, without links.
    pub path: PathBuf,
    /// The same as it was asked for: what it is called when it is put into a directory.
    asked: PathBuf,
    pub is_directory: bool,
    /// A file itself by an empty path, and what is in a directory by the path from it. The directory itself is not among
    /// its entries: its content is what is copied.
    pub entries: BTreeMap<PathBuf, Entry>,
}

/// One thing in the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: FileType,
    /// Which layer it comes from, the topmost being 0.
    pub layer: usize,
    pub fingerprint: Fingerprint,
    /// Of all that it is known by.
    pub digest: Digest,
}

/// Why a source cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// `hidden` if the ignore file is the reason.
    #[error("failed to compute cache key: failed to calculate checksum of ref {place}: {path:?}: not found")]
    NotFound { place: &'static str, path: String, hidden: bool },
    #[error("{pattern:?}: {reason}")]
    Pattern { pattern: String, reason: BadPattern },
    #[error("--exclude: {0}")]
    Exclude(#[from] InvalidPattern),
    #[error("cannot copy {path}: it is a device", path = .0.display())]
    Special(PathBuf),
    #[error("{path} changed while it was being copied", path = .0.display())]
    Changed(PathBuf),
    #[error("cannot read {} in the build context", from_the_context(path).display())]
    Read { path: PathBuf, source: io::Error },
}

/// A path as its user would write it.
fn from_the_context(path: &Path) -> &Path {
    let path = path.strip_prefix("/").unwrap_or(path);
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

impl ContextError {
    /// What the user may know or do about it, where there is something to say.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            ContextError::NotFound { hidden: true, .. } => {
                Some("the ignore file (.dockerignore) leaves it out")
            }
            ContextError::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("the ignore file (.dockerignore) can leave it out")
            }
            _ => None,
        }
    }
}

impl Context {
    /// Opens `directory` as the build context. Digests that an earlier build noted are taken from `index`.
    pub fn open(directory: &Path, ignore: Ignore, index: Index) -> io::Result<Context> {
        let stack = Stack::open([directory])?;
        Ok(Context { stack, ignore, index: Mutex::new(index), keeps_owners: false })
    }

    /// The patterns of what is left out.
    pub fn ignore(&self) -> &Ignore {
        &self.ignore
    }

    /// Opens a file system of these layers' directories, the topmost first. What is known of its files is kept at
    /// `index`.
    pub fn of_state(layers: &[PathBuf], index: &Path) -> io::Result<Context> {
        let stack = Stack::open(layers.iter().map(PathBuf::as_path))?;
        let index = Mutex::new(Index::load(index));
        Ok(Context { stack, ignore: Ignore::default(), index, keeps_owners: true })
    }

    /// The layer with this index, for reading what comes from it.
    pub fn layer(&self, index: usize) -> &Root {
        self.stack.layer(index)
    }

    /// Keeps the digests that are known now for the next build.
    pub fn save_index(&self) -> io::Result<()> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).save()
    }

    /// The sources that `pattern` names. A pattern with wildcards may name none.
    pub fn select(&self, pattern: &str, selection: &Selection) -> Result<Vec<Tree>, ContextError> {
        let excluded = Ignore::parse(&selection.excludes.join("\n"))?;
        if selection.parents {
            return self.select_with_parents(pattern, &excluded).map(|tree| vec![tree]);
        }
        let cleaned = path::join("/", pattern);
        if !wildcard::is_wild(&cleaned) {
            return Ok(vec![self.tree(Path::new(&cleaned), &excluded)?]);
        }
        let mut paths = vec![PathBuf::from("/")];
        for component in cleaned.split('/').filter(|component| !component.is_empty()) {
            paths = self.narrow(paths, component).map_err(|error| match error {
                Narrow::Pattern(reason) => ContextError::Pattern { pattern: pattern.to_owned(), reason },
                Narrow::Read(path, source) => ContextError::Read { path, source },
            })?;
        }
        let trees = paths.iter().map(|path| self.tree(path, &excluded));
        trees.filter(|tree| !matches!(tree, Err(ContextError::NotFound { .. }))).collect()
    }

    /// What is at `path`, which is no pattern.
    pub fn find(&self, path: &str) -> Result<Tree, ContextError> {
        self.tree(Path::new(&path::join("/", path)), &Ignore::default())
    }

    /// All that `pattern` names, in the directories it is in: those after `/./`, or else all.
    fn select_with_parents(&self, pattern: &str, excluded: &Ignore) -> Result<Tree, ContextError> {
        let pattern = format!("/{}", pattern.trim_start_matches('/'));
        let (base, names) = pattern.rsplit_once("/./").unwrap_or(("/", &pattern));
        let names = path::join("/", names);
        let names = names.trim_start_matches('/');
        let mut tree = self.place(Path::new(&path::join("/", base)))?;
        // Everything is left out but what the pattern names.
        let others =
            if names.is_empty() { Ignore::default() } else { Ignore::parse(&format!("**\n!{names}"))? };
        let place = tree.path.clone();
        let sieve = Sieve::new().through(&self.ignore, &place).through(excluded, Path::new(""));
        self.fill(&mut tree, sieve.through(&others, Path::new("")))?;
        if tree.entries.is_empty() && !wildcard::is_wild(names) {
            return Err(self.not_found(format!("/{names}"), false));
        }
        self.add_parents(&mut tree)?;
        Ok(tree)
    }

    /// Adds the directories that what is in the tree stands in.
    fn add_parents(&self, tree: &mut Tree) -> Result<(), ContextError> {
        let above = tree.entries.keys().flat_map(|below| below.ancestors().skip(1).map(Path::to_owned));
        let missing: Vec<PathBuf> =
            above.filter(|path| path != Path::new("") && !tree.entries.contains_key(path)).collect();
        for below in missing {
            let path = tree.path.join(&below);
            let found =
                self.stack.find(&path).map_err(|source| ContextError::Read { path: path.clone(), source })?;
            let Some((layer, stat)) = found else { continue };
            let entry = self.entry(layer, &path, &stat)?;
            tree.entries.extend(entry.map(|entry| (below, entry)));
        }
        Ok(())
    }

    /// Fails if anything of `tree` that is `taken` is not what it was when its digest was taken.
    pub fn check_unchanged(&self, tree: &Tree, taken: &dyn Fn(&Path) -> bool) -> Result<(), ContextError> {
        let mut directories = BTreeMap::new();
        for (below, entry) in tree.entries.iter().filter(|(below, _)| taken(below)) {
            let path = tree.place(below);
            let of_layer =
                directories.entry(entry.layer).or_insert_with(|| Directories::of(self.layer(entry.layer)));
            let parent = of_layer.open(path.parent().unwrap_or(Path::new("")));
            let name = path.file_name().unwrap_or_default();
            let stat = parent.and_then(|parent| Ok(statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?));
            if !stat.is_ok_and(|stat| Fingerprint::of(&stat) == entry.fingerprint) {
                return Err(ContextError::Changed(path));
            }
        }
        Ok(())
    }

    /// The children of `directories` whose names match one component of a pattern.
    fn narrow(&self, directories: Vec<PathBuf>, component: &str) -> Result<Vec<PathBuf>, Narrow> {
        let mut narrowed = Vec::new();
        for directory in directories {
            if !wildcard::is_wild(component) {
                narrowed.push(directory.join(component));
                continue;
            }
            let read = |error| Narrow::Read(directory.clone(), error);
            let Ok(resolved) = self.stack.resolve(&directory, true) else { continue };
            if resolved.kind() != Some(FileType::Directory) {
                continue;
            }
            let mut names = Vec::new();
            self.walk(&resolved.path, &mut |_, found| {
                names.push(found.name.to_owned());
                Ok(false)
            })
            .map_err(read)?;
            for name in names {
                if wildcard::matches(component, &name.to_string_lossy()).map_err(Narrow::Pattern)? {
                    narrowed.push(directory.join(name));
                }
            }
        }
        Ok(narrowed)
    }

    /// Where `path` leads, as a tree that nothing is in yet.
    fn place(&self, path: &Path) -> Result<Tree, ContextError> {
        let not_found = || self.not_found(path.display().to_string(), false);
        let resolved = self.stack.resolve(path, true).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory => not_found(),
            _ => ContextError::Read { path: path.to_owned(), source: error },
        })?;
        let is_directory = match resolved.kind() {
            Some(kind) => kind.is_dir(),
            // A file system without a layer has a root all the same.
            None if resolved.path.as_os_str().is_empty() => true,
            None => return Err(not_found()),
        };
        let asked = path.strip_prefix("/").unwrap_or(path).to_owned();
        Ok(Tree { path: resolved.path, asked, is_directory, entries: BTreeMap::new() })
    }

    fn not_found(&self, path: String, hidden: bool) -> ContextError {
        // BuildKit has names of its own here, which are new each time.
        let place = if self.keeps_owners { "stage" } else { "context" };
        ContextError::NotFound { place, path, hidden }
    }

    fn tree(&self, path: &Path, excluded: &Ignore) -> Result<Tree, ContextError> {
        let mut tree = self.place(path)?;
        let place = tree.path.clone();
        let hidden = || self.not_found(path.display().to_string(), true);
        let mut sieve = Sieve::new().through(&self.ignore, &place);
        let taken = sieve.start().taken;
        if !tree.is_directory {
            // What a source names itself is meant: --exclude is about what is in directories.
            match taken {
                false => return Err(hidden()),
                true => self.add(&mut tree, PathBuf::new())?,
            }
            return Ok(tree);
        }
        sieve = sieve.through(excluded, Path::new(""));
        self.fill(&mut tree, sieve)?;
        if self.ignore.has_exceptions() || excluded.has_exceptions() {
            // Those that are left out themselves are what they are all the same.
            self.add_parents(&mut tree)?;
        }
        match !taken && tree.entries.is_empty() {
            true => Err(hidden()),
            false => Ok(tree),
        }
    }

    /// Adds what is at `below` to the tree.
    fn add(&self, tree: &mut Tree, below: PathBuf) -> Result<(), ContextError> {
        let path = tree.place(&below);
        let found =
            self.stack.find(&path).map_err(|source| ContextError::Read { path: path.clone(), source })?;
        if let Some((layer, stat)) = found {
            let entry = self.entry(layer, &path, &stat)?;
            tree.entries.extend(entry.map(|entry| (below, entry)));
        }
        Ok(())
    }

    /// Adds what is in a directory and passes the sieve.
    fn fill(&self, tree: &mut Tree, mut sieve: Sieve<'_>) -> Result<(), ContextError> {
        if !sieve.start().enter {
            return Ok(());
        }
        let mut found = Vec::new();
        // A directory is read right after it was visited: what cannot be read is the last one.
        let mut last = tree.path.clone();
        let walked = self.walk(&tree.path, &mut |layer, item| {
            let passage = sieve.judge(item.path);
            if passage.taken {
                found.push((layer, item.path.to_owned(), item.stat));
            }
            let is_entered = passage.enter && item.file_type().is_dir();
            if is_entered {
                last = tree.path.join(item.path);
            }
            Ok(is_entered)
        });
        walked.map_err(|source| ContextError::Read { path: last, source })?;
        let mut entries = Vec::with_capacity(found.len());
        for (layer, below, stat) in found {
            let entry = self.entry(layer, &tree.path.join(&below), &stat)?;
            entries.extend(entry.map(|entry| (below, entry)));
        }
        // All at once: they are in order.
        tree.entries.append(&mut entries.into_iter().collect());
        Ok(())
    }

    /// Visits what is in a directory, with the layer that each thing comes from.
    fn walk(
        &self,
        start: &Path,
        visit: &mut dyn FnMut(usize, Found<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        match self.keeps_owners {
            true => self.stack.walk(start, visit),
            // The context is one directory, and what would be a whiteout in a layer is none.
            false => tree::walk(self.layer(0), start, &mut |found| visit(0, found)),
        }
    }

    /// What is at `path`; `None` for a socket, which nobody can copy and docker leaves out too.
    fn entry(&self, layer: usize, path: &Path, stat: &Stat) -> Result<Option<Entry>, ContextError> {
        let fingerprint = Fingerprint::of(stat);
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::RegularFile | FileType::Directory | FileType::Symlink | FileType::Fifo => {}
            FileType::Socket => return Ok(None),
            _ if self.keeps_owners => {}
            _ => return Err(ContextError::Special(path.to_owned())),
        }
        let index = || self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let known = index().digest(&fingerprint);
        let digest = match known {
            Some(digest) => digest,
            None => {
                let digest = self
                    .digest(layer, path, stat)
                    .map_err(|source| ContextError::Read { path: path.to_owned(), source })?;
                index().note(fingerprint, digest);
                digest
            }
        };
        Ok(Some(Entry { kind, layer, fingerprint, digest }))
    }

    /// Of all that what is at `path` is known by.
    fn digest(&self, layer: usize, path: &Path, stat: &Stat) -> io::Result<Digest> {
        let content = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.hash(layer, path)?,
            FileType::Directory if self.keeps_owners => self.attributes(layer, path)?,
            FileType::Directory => Digest::of(b""),
            FileType::Symlink => Digest::of(&self.link(layer, path)?),
            FileType::Fifo => Digest::of(b""),
            _ => Digest::of(&stat.st_rdev.to_le_bytes()),
        };
        let mut description = format!("{:o} {content}", stat.st_mode & 0o177777);
        if self.keeps_owners {
            description.push_str(&format!(" {}:{}", stat.st_uid, stat.st_gid));
        }
        Ok(Digest::of(description.as_bytes()))
    }

    fn hash(&self, layer: usize, path: &Path) -> io::Result<Digest> {
        let mut file = self.layer(layer).file(path)?;
        let mut hasher = Digest::hasher();
        let mut buffer = vec![0; 128 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                length => hasher.update(&buffer[..length]),
            }
        }
        let content = hasher.finish();
        let attributes = if self.keeps_owners { extended(file.as_fd())? } else { Vec::new() };
        Ok(if attributes.is_empty() {
            content
        } else {
            Digest::of(&[content.hex().into_bytes(), attributes].concat())
        })
    }

    fn attributes(&self, layer: usize, path: &Path) -> io::Result<Digest> {
        let directory =
            self.layer(layer).open_at(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
        Ok(Digest::of(&extended(directory.as_fd())?))
    }

    fn link(&self, layer: usize, path: &Path) -> io::Result<Vec<u8>> {
        let link = self.layer(layer).open_at(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        Ok(rustix::fs::readlinkat(link, "", Vec::new())?.into_bytes())
    }
}

/// A file's extended attributes, each name and value with its length before it.
fn extended(file: std::os::fd::BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    for (name, value) in Attributes::of(file)?.xattrs {
        for part in [name, value] {
            all.extend((part.len() as u64).to_le_bytes());
            all.extend(part);
        }
    }
    Ok(all)
}

enum Narrow {
    Pattern(BadPattern),
    Read(PathBuf, io::Error),
}

impl Tree {
    /// Where something in the tree is, from the context.
    pub fn place(&self, below: &Path) -> PathBuf {
        if below.as_os_str().is_empty() { self.path.clone() } else { self.path.join(below) }
    }

    /// The name the source has when it is put into a directory.
    pub fn name(&self) -> &OsStr {
        self.asked.file_name().unwrap_or(OsStr::new(""))
    }

    /// Each path from the context with the digest of what is there: what a cache key is made of.
    pub fn files(&self) -> impl Iterator<Item = (String, Digest)> {
        let display = |below: &Path| {
            let path = if below.as_os_str().is_empty() { self.asked.clone() } else { self.asked.join(below) };
            String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned()
        };
        self.entries.iter().map(move |(below, entry)| (display(below), entry.digest))
    }
}

#[cfg(test)]
mod tests;
