use std::{
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, symlink},
    },
};

use proptest::prelude::*;
use rustix::{
    fs::{CWD, FileType, Mode, XattrFlags},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags},
};

use super::*;
use crate::stack::Stack;

/// One thing that a layer says.
#[derive(Debug, Clone)]
enum Item {
    Directory {
        mode: u32,
    },
    /// Hides what is below.
    Opaque,
    File(String),
    Link(String),
    Gone,
}

type Layer = Vec<(String, Item)>;

/// Layers on the disk, the topmost first.
struct Layers {
    root: tempfile::TempDir,
    count: usize,
}

impl Layers {
    /// `None` where whiteouts cannot be made.
    fn new(layers: &[Layer]) -> Option<Layers> {
        let root = tempfile::tempdir().expect("temporary directory");
        for (index, layer) in layers.iter().enumerate() {
            let directory = root.path().join(index.to_string());
            fs::create_dir(&directory).expect("layer");
            for (path, item) in layer {
                put(&directory.join(path), item)?;
            }
        }
        Some(Layers { root, count: layers.len() })
    }

    fn directories(&self) -> Vec<PathBuf> {
        (0..self.count).map(|index| self.root.path().join(index.to_string())).collect()
    }

    fn stack(&self) -> Stack {
        Stack::open(self.directories().iter().map(PathBuf::as_path)).expect("layers exist")
    }

    /// Has the kernel stack them. The mount is nobody's but the descriptor's.
    fn mount(&self) -> OwnedFd {
        let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).expect("overlayfs");
        let mut lower: Vec<String> =
            self.directories().iter().map(|directory| directory.display().to_string()).collect();
        // An overlay has two layers at least.
        let empty = self.root.path().join("empty");
        fs::create_dir(&empty).expect("empty layer");
        lower.push(empty.display().to_string());
        rustix::mount::fsconfig_set_string(context.as_fd(), "lowerdir", lower.join(":")).expect("layers");
        rustix::mount::fsconfig_create(context.as_fd()).expect("overlay");
        rustix::mount::fsmount(
            context.as_fd(),
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_RDONLY,
        )
        .expect("mounted")
    }
}

/// Puts an item at `path` unless something on the way is in the way; `None` without the right to make whiteouts.
fn put(path: &Path, item: &Item) -> Option<()> {
    if fs::create_dir_all(path.parent().expect("in a layer")).is_err() || path.symlink_metadata().is_ok() {
        return Some(());
    }
    match item {
        Item::Directory { mode } => {
            fs::create_dir(path).expect("directory");
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).expect("mode");
        }
        Item::Opaque => {
            fs::create_dir(path).expect("directory");
            rustix::fs::setxattr(path, "trusted.overlay.opaque", b"y", XattrFlags::empty()).ok()?;
        }
        Item::File(content) => fs::write(path, content).expect("file"),
        Item::Link(target) => symlink(target, path).expect("link"),
        Item::Gone => rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).ok()?,
    }
    Some(())
}

/// All that a walk below `start` finds: path, type and mode, size, and what a file or a link says.
fn walked(stack: &Stack, start: &str) -> Vec<String> {
    let mut all = Vec::new();
    stack
        .walk(Path::new(start), &mut |layer, found: Found<'_>| -> io::Result<bool> {
            let place = stack.layer(layer).directory(Path::new("")).expect("layer");
            let whole = Path::new(start).join(found.path);
            all.push(line(found.path, found.stat.st_mode, &through(&place, &whole)));
            Ok(true)
        })
        .expect("walked");
    all
}

/// The same of a directory that is mounted.
fn listed(directory: &Path) -> Vec<String> {
    let mut all = Vec::new();
    list(directory, Path::new(""), &mut all);
    all
}

fn list(directory: &Path, below: &Path, all: &mut Vec<String>) {
    let mut names: Vec<OsString> =
        fs::read_dir(directory).expect("directory").map(|entry| entry.expect("entry").file_name()).collect();
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    for name in names {
        let (path, below) = (directory.join(&name), below.join(&name));
        // Where there is nothing to merge, the kernel lists whiteouts too, though nothing is there.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        all.push(line(&below, metadata.mode(), &path));
        if metadata.is_dir() {
            list(&path, &below, all);
        }
    }
}

fn line(path: &Path, mode: u32, file: &Path) -> String {
    let content = match FileType::from_raw_mode(mode) {
        FileType::RegularFile => fs::read_to_string(file).expect("content"),
        FileType::Symlink => fs::read_link(file).expect("target").display().to_string(),
        _ => String::new(),
    };
    format!("{} {mode:o} {content}", path.display())
}

/// A path below an open directory.
fn through(directory: &OwnedFd, path: &Path) -> PathBuf {
    use std::os::fd::AsRawFd;
    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(path)
}

fn layer() -> impl Strategy<Value = Layer> {
    let name = prop::sample::select(vec!["a", "b", "c", "~"]);
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let item = prop_oneof![
        3 => prop::sample::select(vec![0o755, 0o700, 0o1777]).prop_map(|mode| Item::Directory { mode }),
        1 => Just(Item::Opaque),
        3 => "[xyz]{1,3}".prop_map(Item::File),
        1 => prop::sample::select(vec!["a", "/b", "../c"]).prop_map(|target| Item::Link(target.into())),
        2 => Just(Item::Gone),
    ];
    prop::collection::vec((path, item), 0..8)
}

proptest! {
    #[test]
    fn a_walk_finds_what_a_mount_shows(layers in prop::collection::vec(layer(), 1..5)) {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can mount");
            return Ok(());
        }
        let Some(layers) = Layers::new(&layers) else { return Ok(()) };
        let (stack, mount) = (layers.stack(), layers.mount());
        prop_assert_eq!(walked(&stack, ""), listed(&through(&mount, Path::new(""))));
        for start in ["a", "a/b", "b/~/c"] {
            let shown = through(&mount, Path::new(start));
            let metadata = shown.symlink_metadata();
            let links = Path::new(start).ancestors().any(|part| through(&mount, part).is_symlink());
            if metadata.as_ref().is_ok_and(|metadata| metadata.is_dir()) && !links {
                prop_assert_eq!(walked(&stack, start), listed(&shown));
            }
            if !links {
                let found = stack.find(Path::new(start)).ok().flatten();
                prop_assert_eq!(
                    found.map(|(_, stat)| stat.st_mode),
                    metadata.ok().map(|metadata| metadata.mode())
                );
            }
        }
    }
}

fn directory(path: &str) -> (String, Item) {
    (path.into(), Item::Directory { mode: 0o755 })
}

fn file(path: &str) -> (String, Item) {
    (path.into(), Item::File("x".into()))
}

#[test]
fn each_thing_comes_from_the_topmost_layer_that_has_it() {
    let layers =
        [vec![file("etc/b")], vec![directory("etc"), file("etc/a"), file("etc/b")], vec![file("etc/c")]];
    let layers = Layers::new(&layers).expect("no whiteouts");
    let mut seen = Vec::new();
    let walked = layers.stack().walk(Path::new("etc"), &mut |layer, found: Found<'_>| -> io::Result<bool> {
        seen.push((found.path.display().to_string(), layer));
        Ok(true)
    });
    walked.expect("walked");
    assert_eq!(seen, [("a".to_owned(), 1), ("b".to_owned(), 0), ("c".to_owned(), 2)]);
    assert_eq!(layers.stack().find(Path::new("etc/c")).expect("found").map(|(layer, _)| layer), Some(2));
    assert!(layers.stack().find(Path::new("nowhere/c")).expect("looked").is_none());
}

#[test]
fn what_is_not_wanted_is_not_entered_and_what_is_no_directory_not_walked() {
    let layers = Layers::new(&[vec![file("a/b/c"), file("d")]]).expect("no whiteouts");
    let mut seen = Vec::new();
    let walked = layers.stack().walk(Path::new(""), &mut |_, found: Found<'_>| -> io::Result<bool> {
        seen.push(found.path.display().to_string());
        Ok(false)
    });
    walked.expect("walked");
    assert_eq!(seen, ["a", "d"]);
    for (start, expected) in [("d", io::ErrorKind::NotADirectory), ("e", io::ErrorKind::NotFound)] {
        let walked = layers.stack().walk(Path::new(start), &mut |_, _| -> io::Result<bool> { Ok(true) });
        assert_eq!(walked.map_err(|error| error.kind()), Err(expected), "{start}");
    }
}

#[test]
fn a_tree_may_be_deeper_than_files_may_be_open() {
    let layers = [vec![file(&["a"; 1200].join("/"))], vec![directory("a/a"), file("a/a/b")]];
    let layers = Layers::new(&layers).expect("no whiteouts");
    assert_eq!(walked(&layers.stack(), "").len(), 1201);
}
