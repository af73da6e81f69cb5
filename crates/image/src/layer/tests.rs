use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use tar::EntryType;

use super::*;
use crate::{
    tarball::{Reader, tests::Raw},
    tree::{Links, Owner, Root},
};

struct Tree {
    top: tempfile::TempDir,
    outcome: Unpacked,
}

impl Tree {
    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join("tree").join(name)
    }

    fn archive(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        pack(&[Root::open(&self.path(""), Links::Refused).unwrap()], &mut archive).unwrap();
        archive
    }
}

fn unpacked(archive: &[u8]) -> Result<Tree, UnpackError> {
    unpacked_in(&std::env::temp_dir(), archive, Form::Layer)
}

fn unpacked_in(place: &Path, archive: &[u8], form: Form) -> Result<Tree, UnpackError> {
    let top = tempfile::tempdir_in(place).unwrap();
    fs::create_dir(top.path().join("tree")).unwrap();
    fs::write(top.path().join("outside"), "untouched").unwrap();
    let root = Root::open(&top.path().join("tree"), Links::Refused).unwrap();
    let outcome = unpack(&mut Reader::new(archive), &root, form);
    assert_eq!(fs::read_to_string(top.path().join("outside")).unwrap(), "untouched");
    assert_eq!(fs::read_dir(top.path()).unwrap().count(), 2, "nothing new outside");
    outcome.map(|outcome| Tree { top, outcome })
}

fn good(archive: Raw) -> Tree {
    unpacked(&archive.end()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(archive: Raw, why: &str) {
    match unpacked(&archive.end()) {
        Ok(_) => panic!("not refused: {why}"),
        Err(error) => assert!(error.to_string().contains(why), "{error} does not say {why:?}"),
    }
}

/// Whether this process may make devices and give files away; says so if not.
pub fn privileged() -> bool {
    let top = tempfile::tempdir().unwrap();
    let file = top.path().join("device");
    let mode = rustix::fs::Mode::RUSR;
    let kind = rustix::fs::FileType::CharacterDevice;
    let made = rustix::fs::mknodat(rustix::fs::CWD, &file, kind, mode, rustix::fs::makedev(1, 3));
    if made.is_err() {
        eprintln!("skipped: making devices and changing owners takes root");
    }
    made.is_ok()
}

#[test]
fn names_that_climb_are_refused_and_absolute_ones_stay_inside() {
    if !privileged() {
        return;
    }
    refused(Raw::default().file("../outside", b"x"), "\"..\"");
    refused(Raw::default().file("a/../../outside", b"x"), "\"..\"");
    refused(Raw::default().file("a/..", b"x"), "\"..\"");
    let tree = good(Raw::default().file("/etc/passwd", b"x").file("//double", b"y"));
    assert_eq!(fs::read(tree.path("etc/passwd")).unwrap(), b"x");
    assert_eq!(fs::read(tree.path("double")).unwrap(), b"y");
    refused(Raw::default().pax(&[("path", &"x/".repeat(2049))]).file("f", b""), "4096");
}

#[test]
fn nothing_is_written_through_a_link() {
    if !privileged() {
        return;
    }
    refused(Raw::default().symlink("d", "..").file("d/outside", b"x"), "below a symbolic link");
    refused(Raw::default().symlink("d", "/").file("d/tmp/x/y", b"x"), "below a symbolic link");
    refused(Raw::default().symlink("d", ".").directory("d/e"), "below a symbolic link");
    refused(Raw::default().symlink("d", "nowhere").file("d/x/y", b"x"), "below a");
    refused(Raw::default().file("f", b"").file("f/below", b""), "not a directory");
    // At the end of a name the link itself is replaced, as a file or as a directory.
    let tree =
        good(Raw::default().symlink("l", "../outside").file("l", b"x").symlink("m", "..").directory("m"));
    assert_eq!(fs::symlink_metadata(tree.path("l")).unwrap().len(), 1);
    assert!(fs::symlink_metadata(tree.path("m")).unwrap().is_dir());
}

#[test]
fn a_hard_link_is_only_to_a_file_of_the_archive() {
    if !privileged() {
        return;
    }
    let tree = good(Raw::default().file("a", b"x").hard_link("b/c", "/a"));
    assert_eq!(fs::metadata(tree.path("a")).unwrap().ino(), fs::metadata(tree.path("b/c")).unwrap().ino());
    refused(Raw::default().hard_link("a", "missing"), "no file of the archive");
    refused(Raw::default().hard_link("a", "../outside"), "\"..\"");
    refused(Raw::default().symlink("l", "../outside").hard_link("a", "l"), "no file of the archive");
    refused(Raw::default().symlink("l", "..").hard_link("a", "l/outside"), "no file of the archive");
    refused(Raw::default().directory("d").hard_link("a", "d"), "no file of the archive");
    refused(Raw::default().file("a", b"").hard_link("a", "a"), "itself");
}

#[test]
fn of_several_entries_with_one_name_the_last_counts() {
    if !privileged() {
        return;
    }
    let tree = good(
        Raw::default()
            .file("f", b"first")
            .hard_link("other", "f")
            .file("f", b"second")
            .directory("d")
            .file("d/x", b"")
            .file("d", b"a file now")
            .directory("merged")
            .file("merged/kept", b"")
            .with("merged", EntryType::Directory, b"", |header| header.set_mode(0o700)),
    );
    assert_eq!(fs::read(tree.path("f")).unwrap(), b"second");
    assert_eq!(fs::read(tree.path("other")).unwrap(), b"first");
    assert_eq!(fs::read(tree.path("d")).unwrap(), b"a file now");
    assert_eq!(fs::metadata(tree.path("merged")).unwrap().mode() & 0o777, 0o700);
    assert!(tree.path("merged/kept").exists());
}

#[test]
fn whiteouts_take_overlay_form_and_come_back_as_they_were() {
    if !privileged() {
        return;
    }
    let archive = Raw::default()
        .directory("d/")
        .file("d/.wh..wh..opq", b"")
        .file("d/new", b"x")
        .file("d/.wh.gone", b"")
        .end();
    let tree = unpacked(&archive).unwrap();
    let gone = fs::symlink_metadata(tree.path("d/gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    assert!(!tree.path("d/.wh.gone").exists() && !tree.path("d/.wh..wh..opq").exists());
    let again = unpacked(&tree.archive()).unwrap();
    assert_eq!(tree.archive(), again.archive());
    let names = names(&tree.archive());
    assert_eq!(names, ["d/", "d/.wh..wh..opq", "d/.wh.gone", "d/new"]);
}

#[test]
fn a_whiteout_hides_only_what_is_below_its_own_layer() {
    if !privileged() {
        return;
    }
    let orders = [
        Raw::default()
            .file(".wh.d", b"")
            .directory("d/")
            .file("d/new", b"")
            .file(".wh.f", b"")
            .file("f", b"new"),
        Raw::default()
            .directory("d/")
            .file("d/new", b"")
            .file(".wh.d", b"")
            .file("f", b"new")
            .file(".wh.f", b""),
        Raw::default()
            .file(".wh.d", b"")
            .file("d/new", b"")
            .file("f", b"new")
            .file(".wh.f", b"")
            .directory("d/"),
    ];
    for archive in orders {
        let tree = good(archive);
        assert_eq!(names(&tree.archive()), ["d/", "d/.wh..wh..opq", "d/new", "f"]);
        assert_eq!(fs::read(tree.path("f")).unwrap(), b"new");
    }
}

#[test]
fn strange_whiteouts_and_what_belongs_to_overlayfs_are_refused() {
    if !privileged() {
        return;
    }
    for name in [".wh.", ".wh..", ".wh...", ".wh..wh.plnk", "d/.wh..wh.aufs", ".wh..wh..wh.x"] {
        refused(Raw::default().directory("d").file(name, b""), "no whiteout");
    }
    refused(Raw::default().file(".wh.d/file", b""), "below a whiteout");
    refused(Raw::default().symlink(".wh.x", "y"), "only be a file");
    refused(Raw::default().file(".wh..wh..opq", b""), "root");
    refused(Raw::default().device("null", EntryType::Char, 0, 0), "0:0");
    for name in ["trusted.overlay.opaque", "user.overlay.redirect", "trusted.overlay.metacopy"] {
        let key = format!("SCHILY.xattr.{name}");
        refused(Raw::default().pax(&[(&key, "y")]).directory("d"), "overlayfs");
    }
}

#[test]
fn owners_modes_times_devices_and_capabilities_are_kept() {
    if !privileged() {
        return;
    }
    // A valid version 2 capability set: CAP_NET_BIND_SERVICE, effective.
    let capability = "\u{1}\0\0\u{2}\0\u{4}\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let owned = |header: &mut tar::Header| {
        header.set_uid(1000);
        header.set_gid(50);
        header.set_mode(0o6751);
        header.set_mtime(1_700_000_000);
    };
    let archive = Raw::default()
        .with("dir/", EntryType::Directory, b"", owned)
        .pax(&[("SCHILY.xattr.security.capability", capability), ("SCHILY.xattr.security.selinux", "label")])
        .with("dir/file", EntryType::Regular, b"x", owned)
        .with("dir/link", EntryType::Symlink, b"", |header| {
            owned(header);
            header.set_link_name_literal("file").unwrap();
        })
        .device("dir/null", EntryType::Char, 1, 3)
        .device("dir/disk", EntryType::Block, 8, 1)
        .with("dir/pipe", EntryType::Fifo, b"", owned)
        .end();
    let tree = unpacked(&archive).unwrap();
    for name in ["dir", "dir/file", "dir/link", "dir/pipe"] {
        let stat = fs::symlink_metadata(tree.path(name)).unwrap();
        assert_eq!((stat.uid(), stat.gid(), stat.mtime()), (1000, 50, 1_700_000_000), "{name}");
        assert!(stat.is_symlink() || stat.mode() & 0o7777 == 0o6751, "{name}: {:o}", stat.mode());
    }
    assert!(fs::symlink_metadata(tree.path("dir/disk")).unwrap().file_type().is_block_device());
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(tree.path("dir/file"), "security.capability", &mut value).unwrap();
    assert_eq!(&value[..length], capability.as_bytes());
    assert_eq!(tree.archive(), unpacked(&tree.archive()).unwrap().archive());
}

#[test]
fn holes_and_zeros_take_no_disk() {
    if !privileged() {
        return;
    }
    let mut zeros = vec![0; 8 << 20];
    zeros[5 << 20] = 1;
    let tree = good(Raw::default().file("zeros", &zeros).file("end", &vec![0; 1 << 20]));
    assert_eq!(fs::read(tree.path("zeros")).unwrap(), zeros);
    assert!(fs::metadata(tree.path("zeros")).unwrap().blocks() * 512 < 1 << 20);
    assert_eq!(fs::metadata(tree.path("end")).unwrap().len(), 1 << 20);
    assert_eq!(tree.outcome.size, 9 << 20);
}

#[test]
fn directories_that_are_only_implied_take_after_the_layers_below() {
    if !privileged() {
        return;
    }
    let directory = |name: &str, mode| {
        Raw::default().with(name, EntryType::Directory, b"", move |header| {
            header.set_mode(mode);
            header.set_uid(7);
            header.set_mtime(99);
        })
    };
    let lowest = good(directory("home", 0o700).directory("home/user").directory("gone/x"));
    let middle = good(Raw::default().file("home/.wh.user", b"").directory("home").file(".wh.gone", b""));
    let top = good(Raw::default().file("home/user/file", b"").file("gone/x/file", b"").file("new/file", b""));
    let implied: Vec<_> = top.outcome.implied.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(implied, ["gone", "gone/x", "home", "home/user", "new"]);
    let root = Root::open(&top.path(""), Links::Refused).unwrap();
    adopt(&root, &top.outcome.implied, &[lowest.path("")]).unwrap();
    let stat = fs::metadata(top.path("home")).unwrap();
    assert_eq!((stat.mode() & 0o777, stat.uid(), stat.mtime()), (0o700, 7, 99));
    assert_eq!(fs::metadata(top.path("new")).unwrap().mode() & 0o777, 0o755);
    adopt(&root, &top.outcome.implied, &[middle.path(""), lowest.path("")]).unwrap();
    assert_eq!(fs::metadata(top.path("home")).unwrap().mode() & 0o777, 0o755, "the topmost describes it");
}

#[test]
fn several_names_of_one_file_stay_one_file() {
    if !privileged() {
        return;
    }
    let tree = good(Raw::default().file("b", b"content").hard_link("a", "b").hard_link("d/c", "b"));
    let archive = tree.archive();
    assert_eq!(archive.windows(7).filter(|w| *w == b"content").count(), 1);
    let again = unpacked(&archive).unwrap();
    assert_eq!(fs::metadata(again.path("a")).unwrap().nlink(), 3);
    assert_eq!(again.archive(), archive);
}

#[test]
fn files_for_a_tree_follow_its_links_and_take_the_given_owner() {
    if !privileged() {
        return;
    }
    let top = tempfile::tempdir().unwrap();
    fs::create_dir_all(top.path().join("usr/lib")).unwrap();
    std::os::unix::fs::symlink("/usr/lib", top.path().join("lib")).unwrap();
    let root = Root::open(top.path(), Links::StayInside).unwrap();
    let archive = Raw::default().file("lib/x", b"").file("new/.wh.y", b"").end();
    let form = Form::Files { owner: Some(Owner { uid: 5, gid: 6 }) };
    unpack(&mut Reader::new(archive.as_slice()), &root, form).unwrap();
    let stat = fs::metadata(top.path().join("usr/lib/x")).unwrap();
    assert_eq!((stat.uid(), stat.gid()), (5, 6));
    assert_eq!(fs::metadata(top.path().join("new")).unwrap().uid(), 5);
    assert!(top.path().join("new/.wh.y").exists(), "an ordinary file here");
}

#[test]
fn what_tar_packs_is_unpacked_the_same() {
    if !privileged() {
        return;
    }
    let top = tempfile::tempdir().unwrap();
    fs::create_dir_all(top.path().join("in/a/b")).unwrap();
    for (name, content) in [("a/b/file", "one"), ("a/z", ""), ("a.txt", "two")] {
        fs::write(top.path().join("in").join(name), content).unwrap();
    }
    std::os::unix::fs::symlink("b/file", top.path().join("in/a/link")).unwrap();
    let output =
        std::process::Command::new("tar").arg("-cC").args([&top.path().join("in"), Path::new(".")]).output();
    let tree = unpacked(&output.unwrap().stdout).unwrap();
    let mut direct = Vec::new();
    pack(&[Root::open(&top.path().join("in"), Links::Refused).unwrap()], &mut direct).unwrap();
    assert_eq!(tree.archive(), direct);
    assert_eq!(names(&direct), ["a/", "a/b/", "a/b/file", "a/link", "a/z", "a.txt"]);
    assert_eq!(tree.outcome.implied, Vec::<PathBuf>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any entries at all: either they are refused, or what came of them packs to the same bytes for ever.
    #[test]
    fn packing_what_was_unpacked_is_stable(
        entries in proptest::collection::vec((0..7u8, "[ab./]{1,4}|\\.wh\\.[ab]|[ab]/\\.wh\\.\\.wh\\.\\.opq", "[ab./]{1,3}"), 1..12)
    ) {
        prop_assume!(privileged());
        let mut archive = Raw::default();
        for (kind, name, other) in entries {
            archive = match kind {
                0 | 1 => archive.file(&name, other.as_bytes()),
                2 | 3 => archive.directory(&name),
                4 => archive.symlink(&name, &other),
                5 => archive.hard_link(&name, &other),
                _ => archive.device(&name, EntryType::Fifo, 0, 0),
            };
        }
        if let Ok(tree) = unpacked(&archive.end()) {
            let packed = tree.archive();
            prop_assert_eq!(unpacked(&packed).unwrap().archive(), packed);
        }
    }
}

#[test]
fn archives_that_nobody_would_write_stay_inside() {
    if !privileged() {
        return;
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/archive");
    let words = [
        "../",
        "outside",
        "x",
        "x/",
        "/",
        ".wh.",
        ".wh..wh..opq",
        "ustar\0",
        "0",
        "1",
        "2",
        "5",
        "x",
        "g",
        "L",
        "K",
    ];
    let place = in_memory();
    testkit::fuzz(&corpus, &words, |bytes| {
        let forms = [Form::Layer, Form::Files { owner: None }, Form::Copy { owner: None }];
        // Which looks for itself that nothing outside has changed.
        let _ = unpacked_in(&place, &with_right_sums(bytes), forms[bytes.len() % forms.len()]);
    });
}

/// Where thousands of trees can be made: in memory, if that can be, for on a disk each takes ten times as long.
pub fn in_memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// An archive whose headers are believed, or else nobody would look at what else is wrong with them.
pub fn with_right_sums(bytes: &[u8]) -> Vec<u8> {
    let mut archive = bytes.to_vec();
    for block in archive.chunks_exact_mut(512).filter(|block| block[257..].starts_with(b"ustar")) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    archive
}

fn names(archive: &[u8]) -> Vec<String> {
    let mut reader = Reader::new(archive);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(String::from_utf8(entry.path).unwrap());
    }
    names
}
