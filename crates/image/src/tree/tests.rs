use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
};

use super::*;
use crate::tarball::Time;

fn sandbox() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let top = tempfile::tempdir().unwrap();
    let (from, to) = (top.path().join("from"), top.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    (top, from, to)
}

fn root(path: &Path) -> Root {
    Root::open(path, Links::StayInside).unwrap()
}

#[test]
fn links_lead_where_they_would_inside_and_never_out() {
    let (top, from, _) = sandbox();
    fs::write(top.path().join("secret"), "host").unwrap();
    fs::create_dir(from.join("etc")).unwrap();
    fs::write(from.join("etc/name"), "inside").unwrap();
    symlink("/etc/name", from.join("absolute")).unwrap();
    symlink("../../../secret", from.join("climbs")).unwrap();
    let root = root(&from);
    assert_eq!(io::read_to_string(root.file(Path::new("absolute")).unwrap()).unwrap(), "inside");
    assert_eq!(root.file(Path::new("climbs")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(root.file(Path::new("../secret")).unwrap_err().kind(), io::ErrorKind::NotFound);
    let strict = Root::open(&from, Links::Refused).unwrap();
    assert!(strict.file(Path::new("absolute")).is_err());
    assert!(strict.file(Path::new("../secret")).is_err());
}

#[test]
fn a_dangling_link_does_not_let_directories_be_made_outside() {
    let (top, from, _) = sandbox();
    symlink("../outside", from.join("link")).unwrap();
    let made = root(&from).make_directories(Path::new("link/sub"), 0o755, Owner::default(), &mut |_| {});
    assert!(made.is_err());
    assert!(!top.path().join("outside").exists() && !from.join("outside").exists());
}

#[test]
fn a_copy_has_its_sources_content_attributes_and_links() {
    let (_top, from, to) = sandbox();
    fs::create_dir_all(from.join("d/e")).unwrap();
    fs::write(from.join("d/e/file"), "content").unwrap();
    fs::set_permissions(from.join("d/e/file"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(from.join("d/e"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("e/file", from.join("d/link")).unwrap();
    let options = CopyOptions { mtime: Some(Time { seconds: 77, nanoseconds: 0 }), ..Default::default() };
    copy(&root(&from), Path::new("d"), &root(&to), Path::new("a/b"), options).unwrap();
    let file = fs::metadata(to.join("a/b/e/file")).unwrap();
    assert_eq!((file.mode() & 0o7777, file.mtime(), file.len()), (0o4711, 77, 7));
    let directory = fs::metadata(to.join("a/b/e")).unwrap();
    assert_eq!((directory.mode() & 0o7777, directory.mtime()), (0o700, 77));
    assert_eq!(fs::read_link(to.join("a/b/link")).unwrap(), Path::new("e/file"));
    assert_eq!(fs::symlink_metadata(to.join("a/b/link")).unwrap().mtime(), 77);
}

#[test]
fn a_copy_goes_through_links_of_the_target_tree_but_replaces_the_last() {
    let (_top, from, to) = sandbox();
    fs::write(from.join("file"), "new").unwrap();
    fs::create_dir_all(to.join("usr/lib")).unwrap();
    symlink("/usr/lib", to.join("lib")).unwrap();
    fs::write(to.join("kept"), "old").unwrap();
    symlink("/kept", to.join("usr/lib/file")).unwrap();
    copy(&root(&from), Path::new("file"), &root(&to), Path::new("lib/file"), CopyOptions::default()).unwrap();
    assert_eq!(fs::read_to_string(to.join("usr/lib/file")).unwrap(), "new");
    assert_eq!(fs::read_to_string(to.join("kept")).unwrap(), "old");
}

#[test]
fn what_is_not_chosen_stays_away_and_may_still_hold_what_is() {
    let (_top, from, to) = sandbox();
    for file in ["x/keep", "x/drop", "y/all", "z/one"] {
        fs::create_dir_all(from.join(file).parent().unwrap()).unwrap();
        fs::write(from.join(file), "").unwrap();
    }
    let choose = |path: &Path, _: FileType| match path.to_str().unwrap() {
        "x" => Choice::Descend,
        "x/drop" | "y" => Choice::Skip,
        _ => Choice::Take,
    };
    let options = CopyOptions { choose: Some(&choose), ..Default::default() };
    copy(&root(&from), Path::new(""), &root(&to), Path::new(""), options).unwrap();
    let mut found = Vec::new();
    walk(&root(&to), Path::new(""), &mut |f: Found<'_>| -> io::Result<bool> {
        found.push(f.path.to_str().unwrap().to_owned());
        Ok(true)
    })
    .unwrap();
    assert_eq!(found, ["x", "x/keep", "z", "z/one"]);
}

#[test]
fn a_tree_deeper_than_a_process_has_descriptors_is_walked() {
    let (_top, from, _) = sandbox();
    let mut directory = fs::File::open(&from).unwrap().into();
    for _ in 0..1500 {
        rustix::fs::mkdirat(&directory, "d", Mode::RWXU).unwrap();
        directory = open_child_directory(&directory, Path::new("d")).unwrap();
    }
    let mut count = 0;
    walk(&root(&from), Path::new(""), &mut |_: Found<'_>| -> io::Result<bool> {
        count += 1;
        Ok(true)
    })
    .unwrap();
    assert_eq!(count, 1500);
}
