//! The build context: the directory that COPY and ADD take files from.
//!
//! Nothing outside it is ever reached: paths and links are resolved as if it were the root. What the ignore file leaves
//! out is not there at all. Files are known by content, mode and link target; not by owner, and not by time.

mod index;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use image::tree::{self, Found, Links, Root};
use rustix::fs::{FileType, Stat};
use types::{
    Digest,
    wildcard::{self, BadPattern},
};

use crate::{
    ignore::{Ignore, Verdict},
    path,
    stack::Stack,
};
pub use index::{Fingerprint, Index};

/// A directory to copy from.
pub struct Context {
    /// For following links.
    paths: Stack,
    root: Root,
    ignore: Ignore,
    index: Index,
}

/// A file, or a directory with what is in it, as one source of a COPY.
#[derive(Debug)]
pub struct Tree {
    /// From the context, without links.
    pub path: PathBuf,
    pub is_directory: bool,
    /// The thing itself by an empty path, and what is in it by the path from it. The context's own directory is not
    /// among its entries: it is wherever a user put it, with whatever mode.
    pub entries: BTreeMap<PathBuf, Entry>,
}

/// One thing in the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: FileType,
    pub fingerprint: Fingerprint,
    /// Of its content, mode and link target.
    pub digest: Digest,
}

/// Why a source cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// `hidden` if the ignore file is the reason.
    #[error("failed to compute cache key: {path:?}: not found")]
    NotFound { path: String, hidden: bool },
    #[error("{pattern:?}: {reason}")]
    Pattern { pattern: String, reason: BadPattern },
    #[error("cannot copy {path}: it is neither a file, a directory nor a link", path = .0.display())]
    Special(PathBuf),
    #[error("{path} changed while it was being copied", path = .0.display())]
    Changed(PathBuf),
    #[error("cannot read {path} in the build context", path = path.display())]
    Read { path: PathBuf, source: io::Error },
}

impl Context {
    /// Opens `directory`. Digests that an earlier build noted are taken from `index`.
    pub fn open(directory: &Path, ignore: Ignore, index: Index) -> io::Result<Context> {
        let root = Root::open(directory, Links::Refused)?;
        Ok(Context { paths: Stack::open([directory])?, root, ignore, index })
    }

    /// The directory, for reading below it.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// What digests are known now.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The sources that `pattern` names. A pattern with wildcards may name none.
    pub fn select(&mut self, pattern: &str) -> Result<Vec<Tree>, ContextError> {
        let cleaned = path::join("/", pattern);
        if !wildcard::is_wild(&cleaned) {
            return Ok(vec![self.tree(Path::new(&cleaned))?]);
        }
        let mut paths = vec![PathBuf::from("/")];
        for component in cleaned.split('/').filter(|component| !component.is_empty()) {
            paths = self.narrow(paths, component).map_err(|error| match error {
                Narrow::Pattern(reason) => ContextError::Pattern { pattern: pattern.to_owned(), reason },
                Narrow::Read(path, source) => ContextError::Read { path, source },
            })?;
        }
        let trees = paths.iter().map(|path| self.tree(path));
        trees.filter(|tree| !matches!(tree, Err(ContextError::NotFound { .. }))).collect()
    }

    /// Fails if anything of `tree` is not what it was when its digest was taken.
    pub fn check_unchanged(&self, tree: &Tree) -> Result<(), ContextError> {
        for (below, entry) in &tree.entries {
            let path = if below.as_os_str().is_empty() { tree.path.clone() } else { tree.path.join(below) };
            match self.root.stat(&path) {
                Ok(stat) if Fingerprint::of(&stat) == entry.fingerprint => {}
                _ => return Err(ContextError::Changed(path)),
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
            let Ok(resolved) = self.paths.resolve(&directory, true) else { continue };
            if resolved.kind() != Some(FileType::Directory) {
                continue;
            }
            let mut names = Vec::new();
            tree::walk(&self.root, &resolved.path, &mut |found: Found<'_>| -> io::Result<bool> {
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

    fn tree(&mut self, path: &Path) -> Result<Tree, ContextError> {
        let not_found = |hidden| ContextError::NotFound { path: path.display().to_string(), hidden };
        let resolved = self.paths.resolve(path, true).map_err(|error| match error.kind() {
            io::ErrorKind::NotADirectory => not_found(false),
            _ => ContextError::Read { path: path.to_owned(), source: error },
        })?;
        let Some(stat) = resolved.stat else { return Err(not_found(false)) };
        let at = resolved.path;
        let text = at.to_string_lossy().into_owned();
        let verdict = if text.is_empty() { Verdict::default() } else { self.ignore.judge_deep(&text) };
        let is_directory = FileType::from_raw_mode(stat.st_mode).is_dir();
        let mut tree = Tree { path: at, is_directory, entries: BTreeMap::new() };
        if is_directory {
            let ignored = verdict.ignored;
            if !ignored && !text.is_empty() {
                let entry = self.entry(&tree.path, &stat)?;
                tree.entries.extend(entry.map(|entry| (PathBuf::new(), entry)));
            }
            self.fill(&mut tree, verdict)?;
            if ignored && tree.entries.is_empty() {
                return Err(not_found(true));
            }
        } else {
            if verdict.ignored {
                return Err(not_found(true));
            }
            let entry = self.entry(&tree.path, &stat)?;
            tree.entries.extend(entry.map(|entry| (PathBuf::new(), entry)));
        }
        Ok(tree)
    }

    /// Finds what is in a directory and not ignored.
    fn fill(&mut self, tree: &mut Tree, verdict: Verdict) -> Result<(), ContextError> {
        let mut found = Vec::new();
        // The directories the walk is in, with what the patterns said of them.
        let mut above = vec![(PathBuf::new(), verdict)];
        let visit = &mut |item: Found<'_>| -> io::Result<bool> {
            let parent = item.path.parent().unwrap_or(Path::new(""));
            while above.len() > 1 && above.last().is_some_and(|(path, _)| path != parent) {
                above.pop();
            }
            let full = tree.path.join(item.path);
            let full = full.to_string_lossy();
            let verdict =
                above.last().map(|(_, parent)| self.ignore.judge(&full, parent)).unwrap_or_default();
            let ignored = verdict.ignored;
            if !ignored {
                found.push((item.path.to_owned(), item.stat));
            }
            let enter = item.file_type().is_dir() && (!ignored || self.ignore.may_reach_into(&full));
            if enter {
                above.push((item.path.to_owned(), verdict));
            }
            Ok(enter)
        };
        tree::walk(&self.root, &tree.path, visit)
            .map_err(|source| ContextError::Read { path: tree.path.clone(), source })?;
        for (below, stat) in found {
            if let Some(entry) = self.entry(&tree.path.join(&below), &stat)? {
                tree.entries.insert(below, entry);
            }
        }
        Ok(())
    }

    /// What is at `path`; `None` for a socket, which nobody can copy and docker leaves out too.
    fn entry(&mut self, path: &Path, stat: &Stat) -> Result<Option<Entry>, ContextError> {
        let fingerprint = Fingerprint::of(stat);
        let kind = FileType::from_raw_mode(stat.st_mode);
        let read = |source| ContextError::Read { path: path.to_owned(), source };
        let content = match kind {
            FileType::RegularFile => match self.index.digest(&fingerprint) {
                Some(digest) => digest,
                None => {
                    let digest = self.hash(path).map_err(read)?;
                    self.index.note(fingerprint, digest);
                    digest
                }
            },
            FileType::Directory => Digest::of(b""),
            FileType::Symlink => Digest::of(&self.link(path).map_err(read)?),
            FileType::Socket => return Ok(None),
            _ => return Err(ContextError::Special(path.to_owned())),
        };
        let description = format!("{:o} {content}", stat.st_mode & 0o177777);
        Ok(Some(Entry { kind, fingerprint, digest: Digest::of(description.as_bytes()) }))
    }

    fn hash(&self, path: &Path) -> io::Result<Digest> {
        let mut file = self.root.file(path)?;
        let mut hasher = Digest::hasher();
        let mut buffer = vec![0; 128 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hasher.finish()),
                length => hasher.update(&buffer[..length]),
            }
        }
    }

    fn link(&self, path: &Path) -> io::Result<Vec<u8>> {
        use rustix::fs::OFlags;
        let link = self.root.open_at(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        Ok(rustix::fs::readlinkat(link, "", Vec::new())?.into_bytes())
    }
}

enum Narrow {
    Pattern(BadPattern),
    Read(PathBuf, io::Error),
}

impl Tree {
    /// The name the source has when it is put into a directory.
    pub fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or(OsStr::new(""))
    }

    /// Each path from the context with the digest of what is there: what a cache key is made of.
    pub fn files(&self) -> impl Iterator<Item = (String, Digest)> {
        let display = |below: &Path| {
            let path = if below.as_os_str().is_empty() { self.path.clone() } else { self.path.join(below) };
            String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned()
        };
        self.entries.iter().map(move |(below, entry)| (display(below), entry.digest))
    }
}

#[cfg(test)]
mod tests;
