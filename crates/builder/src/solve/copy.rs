//! COPY and ADD: files of the context into the topmost directory of a stack.
//!
//! A directory's content is copied, not the directory. A file goes into the destination if that is a directory or
//! written as one. Directories that exist are merged; anything else that exists is replaced, except that a directory and
//! something that is none never take each other's place.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use image::{
    ArchiveError, archive,
    tree::{self, Choice, CopyOptions, Links, Owner, Root, Time},
};
use rustix::fs::{FileType, OFlags};

use super::{
    difference::Difference,
    remote::{self, Arrival},
};
use crate::{
    cache::Cache,
    context::{Context, ContextError, Tree},
    graph::{Copy, Source, UrlSource},
    mode::{Mode, USUAL_MODE},
    owner::{self, UnknownOwner},
    remote::{RemoteError, Remotes, http::DownloadError},
    scratch::Scratch,
    stack::{NewDirectory, Stack},
};

/// Why files could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("cannot read who is who in the image")]
    Owner(#[from] io::Error),
    #[error(transparent)]
    Context(#[from] ContextError),
    #[error(transparent)]
    Unpack(#[from] ArchiveError),
    #[error("cannot copy to non-directory: /{path}", path = .0.display())]
    NotDirectory(PathBuf),
    #[error("mkdir /{path}: not a directory", path = .0.display())]
    InFile(PathBuf),
    #[error("cannot replace to directory /{path} with file", path = .0.display())]
    IsDirectory(PathBuf),
    /// What is elsewhere cannot be told from what was there the last time.
    #[error("failed to load cache key: {0}")]
    CacheKey(RemoteError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error("cannot unpack an archive aside")]
    Scratch(#[source] io::Error),
    #[error("cannot write {path} in the image", path = path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl CopyError {
    /// The error of asking for what a key is made of. That it is not what was expected is told as such.
    pub fn of_key(error: RemoteError) -> CopyError {
        match error {
            RemoteError::Download(DownloadError::Mismatch { .. }) => CopyError::Remote(error),
            _ => CopyError::CacheKey(error),
        }
    }

    /// For `map_err` where `path` was being worked on.
    pub fn at(path: &Path) -> impl FnOnce(io::Error) -> CopyError + use<> {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::NotADirectory => {
                let parent = path.parent().unwrap_or(&path);
                CopyError::InFile(parent.strip_prefix("/").unwrap_or(parent).into())
            }
            _ => CopyError::Write { path, source },
        }
    }
}

/// What was found for the sources of a copy.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// For each of them the files that are at hand, in `context`.
    pub trees: &'a [Vec<Tree>],
    pub context: &'a Context,
    /// For each of them what is elsewhere.
    pub arrivals: &'a [Option<Arrival>],
    pub remotes: &'a Remotes,
    pub cache: &'a Cache,
    /// What is to be copied, if that is not all.
    pub difference: Option<&'a Difference>,
}

/// Copies the sources of `copy`, found as `given`, to its destination. `time` is that of directories made on the way.
pub fn copy(
    copy: &Copy,
    given: Sources<'_>,
    stack: &Stack,
    scratch: &Scratch,
    time: i64,
    unknown: &dyn Fn(UnknownOwner),
) -> Result<(), CopyError> {
    let owner = copy.owner.as_ref().map(|owner| owner::find(owner, stack, unknown)).transpose()?;
    let change =
        |kind: FileType, bits: u32| copy.mode.as_ref().map_or(bits, |mode| mode.apply(bits, kind.is_dir()));
    let context = given.context;
    let files = Files {
        context,
        stack,
        scratch,
        owner,
        mode: &change,
        mode_on_the_way: copy.mode.as_ref().map_or(USUAL_MODE, Mode::on_the_way),
        time,
        into_directory: copy.destination.ends_with('/'),
        difference: given.difference,
    };
    for ((source, trees), arrival) in copy.sources.iter().zip(given.trees).zip(given.arrivals) {
        match (source, arrival) {
            (Source::Inline { name, content }, _) => {
                files.write(Path::new(name), &mut content.as_bytes(), 0o644, time, &copy.destination)?;
            }
            (Source::Url(source), Some(arrival)) => files.download(source, arrival, &copy.destination)?,
            (Source::Git(source), Some(Arrival::Revision(revision))) => {
                let there = remote::check_out(source, revision, given.remotes, given.cache, scratch)?;
                let files = Files { context: &there, ..files };
                for tree in there.select("/", &copy.selection)? {
                    files.tree(&tree, &copy.destination, false)?;
                }
            }
            _ => {}
        }
        for tree in trees {
            files.tree(tree, &copy.destination, copy.unpack)?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Files<'a> {
    context: &'a Context,
    stack: &'a Stack,
    /// Where archives are unpacked before their files are copied like any others.
    scratch: &'a Scratch,
    owner: Option<Owner>,
    mode: &'a dyn Fn(FileType, u32) -> u32,
    /// Of directories that are made for the destination.
    mode_on_the_way: u32,
    time: i64,
    /// The destination is written as a directory.
    into_directory: bool,
    difference: Option<&'a Difference>,
}

impl Files<'_> {
    fn tree(&self, tree: &Tree, destination: &str, unpack: bool) -> Result<(), CopyError> {
        if tree.is_directory {
            return self.directory(tree, destination);
        }
        let Some(entry) = tree.entries.get(Path::new("")) else { return Ok(()) };
        let layer = self.context.layer(entry.layer);
        let file = || {
            let file = layer.file(&tree.path);
            file.map_err(|source| ContextError::Read { path: tree.path.clone(), source })
        };
        if unpack && entry.kind.is_file() && archive::is_archive(file()?) {
            self.archive(file()?, destination)?;
            return self.check_unchanged(tree, &|_| true);
        }
        let target = self.file_target(destination, tree.name().as_ref())?;
        self.prepare_parent(&target)?;
        self.take(layer, &tree.path, &target, self.options())?;
        self.check_unchanged(tree, &|_| true)
    }

    fn directory(&self, tree: &Tree, destination: &str) -> Result<(), CopyError> {
        let things: Vec<(&Path, FileType)> =
            tree.entries.iter().map(|(below, entry)| (below.as_path(), entry.kind)).collect();
        let target = self.prepare_directory(&things, destination)?;
        // Its attributes are no content, so the directory it becomes is like any that is made on the way.
        self.stack.make_directory(&target, self.new_directory()).map_err(CopyError::at(&target))?;
        let wanted = self.difference.map(|difference| difference.wanted(&target));
        let is_wanted = |below: &Path| wanted.as_ref().is_none_or(|wanted| wanted.contains(below));
        let layers: BTreeSet<usize> = tree.entries.values().map(|entry| entry.layer).collect();
        layers.into_iter().try_for_each(|layer| self.take_from_layer(layer, tree, &target, &is_wanted))?;
        self.check_unchanged(tree, &is_wanted)
    }

    /// Fails if what was copied of the build context is not what it is known by.
    fn check_unchanged(&self, tree: &Tree, taken: &dyn Fn(&Path) -> bool) -> Result<(), CopyError> {
        match self.context.keeps_owners {
            true => Ok(()),
            false => Ok(self.context.check_unchanged(tree, taken)?),
        }
    }

    /// Copies those things in a directory that come from one layer and are wanted.
    fn take_from_layer(
        &self,
        layer: usize,
        tree: &Tree,
        target: &Path,
        is_wanted: &dyn Fn(&Path) -> bool,
    ) -> Result<(), CopyError> {
        let of_layer = || tree.entries.iter().filter(|(_, entry)| entry.layer == layer);
        let own = || of_layer().map(|(below, _)| below).filter(|below| is_wanted(below));
        let mut choices: HashMap<&Path, Choice> = HashMap::new();
        for below in own() {
            // Directories that are not taken themselves, or come from another layer, are walked through.
            choices.extend(below.ancestors().skip(1).map(|above| (above, Choice::Descend)));
        }
        choices.extend(own().map(|below| (below.as_path(), Choice::Take)));
        let choose = |below: &Path, _: FileType| choices.get(below).copied().unwrap_or(Choice::Skip);
        let options = CopyOptions { choose: Some(&choose), ..self.options() };
        self.take(self.context.layer(layer), &tree.path, target, options)
    }

    /// Unpacks an archive aside and copies what was in it; its files keep their owners unless told otherwise, and take
    /// the place of whatever is there, directories too.
    fn archive(&self, file: File, destination: &str) -> Result<(), CopyError> {
        let directory = self.scratch.unique("unpacked").map_err(CopyError::Scratch)?;
        let root = Root::open(&directory, Links::Refused).map_err(CopyError::Scratch)?;
        archive::extract(file, &root, self.owner)?;
        // A directory that is only on the way to a file would hide a link, such as /lib.
        let mut directories = Vec::new();
        let note = &mut |found: tree::Found<'_>| -> io::Result<bool> {
            if found.file_type().is_dir() {
                directories.push((found.path.to_owned(), FileType::Directory));
            }
            Ok(true)
        };
        tree::walk(&root, Path::new(""), note).map_err(CopyError::Scratch)?;
        let directories: Vec<_> = directories.iter().map(|(path, kind)| (path.as_path(), *kind)).collect();
        // --chmod is not about archives, nor about where they go.
        let plain = Files { mode_on_the_way: USUAL_MODE, ..*self };
        let target = plain.prepare_directory(&directories, destination)?;
        self.stack.make_directory(&target, plain.new_directory()).map_err(CopyError::at(&target))?;
        let choose = |below: &Path, _: FileType| match below == Path::new("") {
            true => Choice::Descend,
            false => Choice::Take,
        };
        let options =
            CopyOptions { owner: self.owner, mode: None, mtime: None, xattrs: true, choose: Some(&choose) };
        self.take(&root, Path::new(""), &target, options)
    }

    /// Makes way for a directory's content, and returns the resolved path it goes to.
    fn prepare_directory(
        &self,
        things: &[(&Path, FileType)],
        destination: &str,
    ) -> Result<PathBuf, CopyError> {
        let target = self.resolve(Path::new(destination))?;
        match target.kind() {
            Some(kind) if kind.is_dir() => {
                self.check_places(things, &target.path)?;
                self.stack
                    .make_directory(&target.path, self.new_directory())
                    .map_err(CopyError::at(&target.path))?;
            }
            Some(_) => return Err(CopyError::NotDirectory(target.path)),
            None => self.prepare_parent(&target.path)?,
        }
        Ok(target.path)
    }

    /// A file that was downloaded, or what is in it.
    fn download(&self, source: &UrlSource, arrival: &Arrival, destination: &str) -> Result<(), CopyError> {
        let file =
            || arrival.file().unwrap_or(Err(io::ErrorKind::NotFound.into())).map_err(CopyError::Scratch);
        if source.unpack && archive::is_archive(file()?) {
            return self.archive(file()?, destination);
        }
        let time = arrival.modified().unwrap_or(0);
        self.write(Path::new(&source.name), &mut file()?, 0o600, time, destination)
    }

    /// Writes a new file, which is called `name` if the destination is a directory.
    fn write(
        &self,
        name: &Path,
        content: &mut dyn Read,
        mode: u32,
        time: i64,
        destination: &str,
    ) -> Result<(), CopyError> {
        let target = self.file_target(destination, name)?;
        self.prepare_parent(&target)?;
        let mut write = || -> io::Result<()> {
            let parent = self.stack.top().directory(target.parent().unwrap_or(Path::new("")))?;
            let name = Path::new(target.file_name().ok_or(io::ErrorKind::InvalidInput)?);
            tree::remove(parent.as_fd(), name)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(
                &parent,
                name,
                flags,
                rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            )?);
            io::copy(content, &mut file)?;
            self.new_owner().give(file.as_fd())?;
            let bits = (self.mode)(FileType::RegularFile, mode);
            rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(bits))?;
            crate::stack::set_time(&file, time)
        };
        write().map_err(CopyError::at(&target))?;
        self.settle(&target)
    }

    /// The resolved path that a single file called `name` gets.
    fn file_target(&self, destination: &str, name: &Path) -> Result<PathBuf, CopyError> {
        let target = self.resolve(Path::new(destination))?;
        match target.kind() {
            Some(kind) if kind.is_dir() => {}
            Some(_) if self.into_directory => return Err(CopyError::InFile(target.path)),
            None if self.into_directory => {}
            _ => return Ok(target.path),
        }
        let inside = target.path.join(name);
        // What is called so in the directory is replaced, a link too.
        let there = self.stack.resolve(&inside, false).map_err(CopyError::at(&inside))?;
        match there.kind() {
            Some(kind) if kind.is_dir() => Err(CopyError::IsDirectory(inside)),
            _ => Ok(inside),
        }
    }

    /// Checks that none of `things`, parents before what is in them, would hide something of another kind in the
    /// directory `target`: overlayfs would let a directory hide a link, such as /lib, and the image would be broken.
    fn check_places(&self, things: &[(&Path, FileType)], target: &Path) -> Result<(), CopyError> {
        let mut fresh: HashSet<&Path> = HashSet::new();
        for (below, kind) in things {
            if below.parent().is_some_and(|parent| fresh.contains(parent)) {
                fresh.insert(below);
                continue;
            }
            let place = target.join(below);
            let there = self.stack.resolve(&place, false).map_err(CopyError::at(&place))?;
            match (kind.is_dir(), there.kind()) {
                (_, None) => drop(fresh.insert(below)),
                (true, Some(kind)) if !kind.is_dir() => return Err(CopyError::NotDirectory(place)),
                (false, Some(kind)) if kind.is_dir() => return Err(CopyError::IsDirectory(place)),
                _ => {}
            }
        }
        Ok(())
    }

    fn take(
        &self,
        from: &Root,
        source: &Path,
        target: &Path,
        options: CopyOptions<'_>,
    ) -> Result<(), CopyError> {
        tree::copy(from, source, self.stack.top(), target, options).map_err(CopyError::at(target))?;
        self.settle(target)
    }

    fn options(&self) -> CopyOptions<'_> {
        let (owner, mtime) = match self.context.keeps_owners {
            // What the build has made has its owners and its times.
            true => (self.owner, None),
            false => (Some(self.new_owner()), Some(Time { seconds: self.time, nanoseconds: 0 })),
        };
        CopyOptions { owner, mode: Some(self.mode), mtime, xattrs: self.context.keeps_owners, choose: None }
    }

    fn prepare_parent(&self, target: &Path) -> Result<(), CopyError> {
        let parent = target.parent().unwrap_or(Path::new(""));
        self.stack.make_directory(parent, self.new_directory()).map_err(CopyError::at(parent))
    }

    fn settle(&self, target: &Path) -> Result<(), CopyError> {
        let parent = target.parent().unwrap_or(Path::new(""));
        self.stack.restore_times(parent, self.time).map_err(CopyError::at(parent))
    }

    fn resolve(&self, path: &Path) -> Result<crate::stack::Resolved, CopyError> {
        self.stack.resolve(path, true).map_err(CopyError::at(path))
    }

    /// Those on the way have the owner of what is copied.
    fn new_directory(&self) -> NewDirectory {
        NewDirectory { owner: self.new_owner(), mode: self.mode_on_the_way, time: self.time }
    }

    /// Who owns what is copied: root, whoever owns the source.
    fn new_owner(&self) -> Owner {
        self.owner.unwrap_or_default()
    }
}
