use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use super::*;

/// Directories made from descriptions, the topmost first: `dir/`, `file`, `link -> target`.
fn layers(descriptions: &[&[&str]]) -> (tempfile::TempDir, Stack) {
    let root = tempfile::tempdir().expect("temporary directory");
    let mut directories = Vec::new();
    for (i, description) in descriptions.iter().enumerate() {
        let layer = root.path().join(i.to_string());
        fs::create_dir(&layer).expect("layer");
        for item in *description {
            let (name, target) = item.split_once(" -> ").map_or((*item, None), |(n, t)| (n, Some(t)));
            let path = layer.join(name);
            fs::create_dir_all(path.parent().expect("in a layer")).expect("parents");
            match target {
                Some(target) => symlink(target, &path).expect("link"),
                None if name.ends_with('/') => fs::create_dir_all(&path).expect("directory"),
                None => fs::write(&path, format!("{i}")).expect("file"),
            }
        }
        directories.push(layer);
    }
    let stack = Stack::open(directories.iter().map(PathBuf::as_path)).expect("layers exist");
    (root, stack)
}

/// The resolved path with a mark of what is there: `/` directory, `?` nothing, `@` link.
fn outcome(stack: &Stack, path: &str, follow: bool) -> String {
    match stack.resolve(Path::new(path), follow) {
        Err(error) => format!("{:?}", error.kind()),
        Ok(resolved) => {
            let mark = match resolved.kind() {
                None => "?",
                Some(FileType::Directory) => "/",
                Some(FileType::Symlink) => "@",
                Some(_) => "",
            };
            format!("{}{mark}", resolved.path.display())
        }
    }
}

#[test]
fn links_are_followed_through_layers_and_stay_inside() {
    let (_root, stack) = layers(&[
        &["top"],
        &["lib -> usr/lib", "abs -> /usr/lib", "out -> ../../../../etc", "loop -> loop", "usr/up -> .."],
        &["usr/lib/libc", "etc/passwd"],
    ]);
    for (path, expected) in [
        ("/lib/libc", "usr/lib/libc"),
        ("/abs/libc", "usr/lib/libc"),
        ("/lib/new/x", "usr/lib/new/x?"),
        ("/lib/../etc", "usr/etc?"),
        ("/usr/up/etc", "etc/"),
        ("/out/passwd", "etc/passwd"),
        ("/../../top", "top"),
        ("/", "/"),
        ("/usr/..", "/"),
        ("/top/x", "NotADirectory"),
    ] {
        assert_eq!(outcome(&stack, path, true), expected, "{path}");
    }
    assert_eq!(outcome(&stack, "/lib", true), "usr/lib/");
    assert_eq!(outcome(&stack, "/lib", false), "lib@");
    assert_eq!(outcome(&stack, "/loop", true), "FilesystemLoop");
}

#[test]
fn what_lies_under_another_kind_of_thing_is_hidden() {
    // The middle layer's link hides the lowest directory; the top's directory hides the link.
    let (_root, stack) = layers(&[&["a/x"], &["a -> /b"], &["a/hidden", "b/y"]]);
    assert_eq!(outcome(&stack, "/a/x", true), "a/x");
    assert_eq!(outcome(&stack, "/a/hidden", true), "a/hidden?");
    assert_eq!(outcome(&stack, "/a/y", true), "a/y?");
}

#[test]
fn the_topmost_file_is_read_within_its_limit() {
    let (_root, stack) = layers(&[&[], &["etc/passwd"], &["etc/passwd", "etc/group"]]);
    let read = |path: &str, limit| stack.read(Path::new(path), limit).expect("readable");
    assert_eq!(read("/etc/passwd", 10), Some(b"1".to_vec()));
    assert_eq!(read("/etc/group", 10), Some(b"2".to_vec()));
    assert_eq!(read("/etc/group", 0), None);
    assert_eq!(read("/etc", 10), None);
}

#[test]
fn a_directory_is_made_with_the_attributes_its_parents_have_below() {
    let (root, stack) = layers(&[&[], &["usr/local/"]]);
    let below = root.path().join("1/usr");
    fs::set_permissions(&below, fs::Permissions::from_mode(0o1711)).expect("mode");
    let owner = Owner { uid: rustix::process::getuid().as_raw(), gid: rustix::process::getgid().as_raw() };
    stack
        .make_directory(Path::new("usr/local/new"), NewDirectory { owner, mode: 0o755, time: 1000 })
        .expect("made");
    stack.restore_times(Path::new("usr/local/new"), 1000).expect("times");
    let made = |path: &str| fs::metadata(root.path().join("0").join(path)).expect("made");
    assert_eq!(made("usr").mode() & 0o7777, 0o1711);
    assert_eq!(made("usr").mtime(), fs::metadata(&below).expect("below").mtime());
    assert_eq!((made("usr/local/new").mode() & 0o7777, made("usr/local/new").mtime()), (0o755, 1000));
}

#[test]
fn whiteouts_and_opaque_directories_hide_what_is_below() {
    let (root, stack) = layers(&[&["opaque/", "kept/"], &["gone", "opaque/x", "kept/x"]]);
    let top = root.path().join("0");
    let device =
        rustix::fs::mknodat(rustix::fs::CWD, top.join("gone"), FileType::CharacterDevice, Mode::empty(), 0);
    let flag = rustix::fs::XattrFlags::empty();
    let mark = rustix::fs::setxattr(top.join("opaque"), "trusted.overlay.opaque", b"y", flag);
    if device.is_err() || mark.is_err() {
        eprintln!("skipped: whiteouts cannot be made here (not root?)");
        return;
    }
    assert_eq!(outcome(&stack, "/gone", true), "gone?");
    assert_eq!(outcome(&stack, "/opaque/x", true), "opaque/x?");
    assert_eq!(outcome(&stack, "/kept/x", true), "kept/x");
}
