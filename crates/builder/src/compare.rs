//! What is different between two file systems, or between two layers, file by file.

use std::{
    collections::BTreeMap,
    fmt, io,
    io::Read,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use image::tree::{Attributes, Found, Root};
use rustix::fs::{FileType, Stat};

use crate::stack::Stack;

/// A file that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDifference {
    /// From the root.
    pub path: PathBuf,
    pub change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Deleted,
    /// Both have it, but for these.
    Changed(Vec<Aspect>),
}

/// What can be different about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    Type,
    Content,
    Mode,
    Owner,
    Times,
    ExtendedAttributes,
    LinkTarget,
    Device,
    /// Whether a directory hides what lower layers have in it.
    Opaqueness,
}

/// As `docker diff` has it, and what changed: `C /etc/passwd (content, mode)`.
impl fmt::Display for FileDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = Path::new("/").join(&self.path);
        write!(f, "{} {}", self.change.letter(), path.display())?;
        let names: Vec<&str> = self.change.aspects().iter().map(|aspect| aspect.name()).collect();
        match names.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", names.join(", ")),
        }
    }
}

impl Change {
    /// As `docker diff` has it.
    pub fn letter(&self) -> &'static str {
        match self {
            Change::Added => "A",
            Change::Deleted => "D",
            Change::Changed(_) => "C",
        }
    }

    /// What is different about a file that both have.
    pub fn aspects(&self) -> &[Aspect] {
        match self {
            Change::Changed(aspects) => aspects,
            Change::Added | Change::Deleted => &[],
        }
    }
}

impl Aspect {
    pub fn name(self) -> &'static str {
        match self {
            Aspect::Type => "type",
            Aspect::Content => "content",
            Aspect::Mode => "mode",
            Aspect::Owner => "owner",
            Aspect::Times => "times",
            Aspect::ExtendedAttributes => "xattrs",
            Aspect::LinkTarget => "target",
            Aspect::Device => "device",
            Aspect::Opaqueness => "opaque",
        }
    }
}

/// Compares what the layers of two stacks show together: what a process would see.
pub fn file_systems(first: &[PathBuf], second: &[PathBuf]) -> io::Result<Vec<FileDifference>> {
    Side::of_files(first)?.compare(&Side::of_files(second)?)
}

/// Compares two layers' directories, what they say of layers below them included.
pub fn layers(first: &Path, second: &Path) -> io::Result<Vec<FileDifference>> {
    Side::of_layer(first)?.compare(&Side::of_layer(second)?)
}

/// One of the two.
struct Side {
    /// `None` if there is no layer at all.
    stack: Option<Stack>,
    files: BTreeMap<PathBuf, File>,
}

/// A file as a walk found it.
struct File {
    /// The layer it is in, the topmost being 0.
    layer: usize,
    stat: Stat,
    hides: bool,
}

impl Side {
    fn of_files(layers: &[PathBuf]) -> io::Result<Side> {
        let mut files = BTreeMap::new();
        if layers.is_empty() {
            return Ok(Side { stack: None, files });
        }
        let stack = Stack::open(layers.iter().map(PathBuf::as_path))?;
        stack.walk(Path::new(""), &mut |layer, found: Found<'_>| -> io::Result<bool> {
            files.insert(found.path.to_owned(), File { layer, stat: found.stat, hides: false });
            Ok(true)
        })?;
        Ok(Side { stack: Some(stack), files })
    }

    fn of_layer(directory: &Path) -> io::Result<Side> {
        let stack = Stack::open([directory])?;
        let mut files = BTreeMap::new();
        stack.walk_changes(&mut |found: Found<'_>, hides| -> io::Result<bool> {
            files.insert(found.path.to_owned(), File { layer: 0, stat: found.stat, hides });
            Ok(true)
        })?;
        Ok(Side { stack: Some(stack), files })
    }

    /// All differences, by path. Below a directory that only one has nothing more is told.
    fn compare(&self, other: &Side) -> io::Result<Vec<FileDifference>> {
        let mut all = BTreeMap::new();
        let missing_in = |side: &Side, path: &Path| !side.files.contains_key(path);
        let is_told = |side: &Side, path: &Path| {
            path.parent().is_some_and(|parent| parent != Path::new("") && missing_in(side, parent))
        };
        for (path, file) in &self.files {
            let change = match other.files.get(path) {
                None if is_told(other, path) => continue,
                None => Change::Deleted,
                Some(second) => match self.aspects(path, file, other, second)? {
                    aspects if aspects.is_empty() => continue,
                    aspects => Change::Changed(aspects),
                },
            };
            all.insert(path.clone(), change);
        }
        let new = other.files.keys().filter(|path| missing_in(self, path));
        all.extend(new.map(|path| (path.clone(), Change::Added)));
        Ok(all.into_iter().map(|(path, change)| FileDifference { path, change }).collect())
    }

    /// What is different about a file that both have.
    fn aspects(&self, path: &Path, file: &File, other: &Side, second: &File) -> io::Result<Vec<Aspect>> {
        let (Some(here), Some(there)) = (&self.stack, &other.stack) else { return Ok(Vec::new()) };
        let (one, two) = (&file.stat, &second.stat);
        if (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino) {
            return Ok(Vec::new());
        }
        let kind = FileType::from_raw_mode(one.st_mode);
        if kind != FileType::from_raw_mode(two.st_mode) {
            return Ok(vec![Aspect::Type]);
        }
        let (here, there) = (here.layer(file.layer), there.layer(second.layer));
        let mut aspects = Vec::new();
        let mut note = |differs: bool, aspect| aspects.extend(differs.then_some(aspect));
        note(
            kind.is_file() && (one.st_size != two.st_size || content_differs(here, there, path)?),
            Aspect::Content,
        );
        note(kind.is_symlink() && target(here, path)? != target(there, path)?, Aspect::LinkTarget);
        let is_device = kind.is_char_device() || kind.is_block_device();
        note(is_device && one.st_rdev != two.st_rdev, Aspect::Device);
        let (one, two) = (attributes(here, path)?, attributes(there, path)?);
        note(one.mode != two.mode, Aspect::Mode);
        note(one.owner != two.owner, Aspect::Owner);
        note(one.mtime != two.mtime, Aspect::Times);
        note(one.xattrs != two.xattrs, Aspect::ExtendedAttributes);
        note(file.hides != second.hides, Aspect::Opaqueness);
        Ok(aspects)
    }
}

fn attributes(root: &Root, path: &Path) -> io::Result<Attributes> {
    let parent = root.directory(path.parent().unwrap_or(Path::new("")))?;
    Attributes::of_child(parent.as_fd(), Path::new(path.file_name().unwrap_or_default()))
}

fn target(root: &Root, path: &Path) -> io::Result<Vec<u8>> {
    let parent = root.directory(path.parent().unwrap_or(Path::new("")))?;
    let target = rustix::fs::readlinkat(&parent, path.file_name().unwrap_or_default(), Vec::new())?;
    Ok(target.into_bytes())
}

/// Whether two files of one size hold something else.
fn content_differs(here: &Root, there: &Root, path: &Path) -> io::Result<bool> {
    let (mut one, mut two) = (here.file(path)?, there.file(path)?);
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let length = one.read(&mut left)?;
        if length == 0 {
            return Ok(two.read(&mut right)? != 0);
        }
        match two.read_exact(&mut right[..length]) {
            Ok(()) if left[..length] == right[..length] => {}
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

const CHUNK: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
        time::{Duration, SystemTime},
    };

    use super::*;

    fn touch(path: &Path, seconds: u64) {
        let file = File::open(path).expect("there");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).expect("touched");
    }

    #[test]
    fn each_file_is_told_with_what_is_different_about_it() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        for (root, text, mode, target, seconds) in [(&one, "1", 0o644, "a", 1), (&two, "2", 0o600, "b", 2)] {
            fs::create_dir_all(root.join("same")).expect("made");
            for name in ["content", "mode", "times", "same/file"] {
                fs::write(root.join(name), "x").expect("written");
                touch(&root.join(name), 5);
            }
            fs::write(root.join("content"), text).expect("written");
            touch(&root.join("content"), 5);
            fs::set_permissions(root.join("mode"), Permissions::from_mode(mode)).expect("set");
            touch(&root.join("times"), seconds);
            symlink(target, root.join("link")).expect("linked");
            rustix::fs::utimensat(
                rustix::fs::CWD,
                root.join("link"),
                &rustix::fs::Timestamps {
                    last_access: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 },
                    last_modification: rustix::fs::Timespec { tv_sec: 1, tv_nsec: 0 },
                },
                rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
            )
            .expect("touched");
        }
        fs::create_dir_all(one.join("old/deep")).expect("made");
        fs::create_dir_all(two.join("new/deep")).expect("made");
        touch(&one.join("same"), 5);
        touch(&two.join("same"), 5);
        fs::write(one.join("kind"), "x").expect("written");
        fs::create_dir(two.join("kind")).expect("made");
        let told = |differences: Vec<FileDifference>| {
            differences.iter().map(|difference| difference.to_string()).collect::<Vec<_>>()
        };
        let expected = [
            "C /content (content)",
            "C /kind (type)",
            "C /link (target)",
            "C /mode (mode)",
            "A /new",
            "A /new/deep",
            "D /old",
            "C /times (times)",
        ];
        assert_eq!(told(layers(&one, &two).expect("compared")), expected);
        let (one, two) = (vec![one], vec![two]);
        assert_eq!(told(file_systems(&one, &two).expect("compared")), expected);
        assert_eq!(told(file_systems(&one, &one).expect("compared")), [""; 0]);
        assert_eq!(file_systems(&[], &two).expect("compared").len(), 9);
    }
}
