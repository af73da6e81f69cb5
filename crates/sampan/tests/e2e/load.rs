//! `load` and `save`: archives in and out.

use std::fs::File;

use testkit::{Sandbox, base_image};

use crate::{PROGRAM, inspect, sandbox};

#[test]
fn what_was_saved_loads_as_the_same_image() {
    let (Some(one), Some(two)) = (sandbox(), Sandbox::empty(PROGRAM)) else { return };
    let archive = one.directory().join("saved.tar");
    let path = archive.to_str().unwrap();
    one.sampan(["tag", "busybox", "me/hello:v1.0"]).ok();
    one.sampan(["save", "--output", path, "busybox", "me/hello:v1.0"]).ok().prints("");
    two.sampan(["load", "--input", path])
        .ok()
        .says("Loaded image: busybox:latest\n")
        .says("Loaded image: me/hello:v1.0\n");
    assert_eq!(inspect(&one, "busybox", "{{.Id}}"), inspect(&two, "me/hello:v1.0", "{{.Id}}"));
    two.sampan(["run", "--rm", "busybox", "echo", "hello"]).ok().prints("hello\n");
}

#[test]
fn archives_pass_through_pipes() {
    let (Some(one), Some(two)) = (sandbox(), Sandbox::empty(PROGRAM)) else { return };
    let mut save = one.shell("$SAMPAN save busybox | SAMPAN_ROOT=$OTHER SAMPAN_RUN=$OTHER.run $SAMPAN load");
    save.env("OTHER", two.root());
    one.start(save).finish().ok().prints("Loaded image: busybox:latest\n");
    two.sampan(["images", "--format", "{{.Repository}}"]).ok().prints("busybox\n");
}

#[test]
fn compressed_archives_are_recognised() {
    let (Some(sandbox), Some(archive)) = (Sandbox::empty(PROGRAM), base_image("busybox:latest")) else {
        return;
    };
    let mut compress = sandbox.shell("exec gzip -1 < $ARCHIVE > archive.tar.gz");
    compress.env("ARCHIVE", archive).current_dir(sandbox.directory());
    sandbox.start(compress).finish().ok();
    let mut load = sandbox.command(["load"]);
    load.stdin(File::open(sandbox.directory().join("archive.tar.gz")).unwrap());
    sandbox.start(load).finish().ok().prints("Loaded image: busybox:latest\n");
}

#[test]
fn what_is_no_archive_leaves_nothing() {
    let Some(sandbox) = Sandbox::empty(PROGRAM) else { return };
    sandbox.sampan(["images"]).ok();
    let before = sandbox.files();
    for (name, content) in [("text", &b"no archive at all"[..]), ("nothing", b""), ("zeros", &[0; 10240])] {
        let path = sandbox.file(name, content);
        sandbox.sampan(["load", "--input", &path]).fails(1);
    }
    sandbox
        .sampan(["load", "--input", "/nosuch"])
        .fails(1)
        .complains("open /nosuch: no such file or directory");
    assert_eq!(sandbox.files(), before);
    sandbox.sampan(["images", "-q"]).ok().prints("");
}

#[test]
fn an_archive_cut_short_leaves_nothing() {
    let (Some(sandbox), Some(archive)) = (Sandbox::empty(PROGRAM), base_image("busybox:latest")) else {
        return;
    };
    let bytes = std::fs::read(archive).unwrap();
    sandbox.sampan(["images"]).ok();
    let before = sandbox.files();
    for part in [1, 3, 7] {
        let path = sandbox.file("cut", &bytes[..bytes.len() * part / 8]);
        sandbox.sampan(["load", "--input", &path]).fails(1);
        assert_eq!(sandbox.files(), before, "{part} of 8 parts");
    }
    sandbox.sampan(["images", "-q"]).ok().prints("");
}

#[test]
fn saving_what_is_not_there_writes_no_file() {
    let Some(sandbox) = sandbox() else { return };
    let path = sandbox.directory().join("saved.tar");
    sandbox
        .sampan(["save", "-o", path.to_str().unwrap(), "nosuch"])
        .fails(1)
        .complains("No such image: nosuch:latest");
    assert!(!path.exists() && !path.with_extension("tar.partial").exists());
    sandbox
        .on_terminal(["save", "busybox"])
        .finish()
        .fails(1)
        .says("cowardly refusing to save to a terminal");
}

#[test]
fn a_repository_is_saved_with_all_its_tags() {
    let (Some(one), Some(two)) = (sandbox(), Sandbox::empty(PROGRAM)) else { return };
    for tag in ["me/tools:v1", "me/tools:v2", "me/other"] {
        one.sampan(["tag", "busybox", tag]).ok();
    }
    let archive = one.directory().join("saved.tar");
    one.sampan(["save", "-o", archive.to_str().unwrap(), "me/tools"]).ok();
    let loaded = two.sampan(["load", "-q", "-i", archive.to_str().unwrap()]).ok();
    loaded.prints("Loaded image: me/tools:v1\nLoaded image: me/tools:v2\n");
}

#[test]
fn only_a_file_is_replaced_by_an_archive() {
    let Some(sandbox) = sandbox() else { return };
    let directory = sandbox.directory().to_str().unwrap().to_owned();
    for (path, why) in [
        (directory.as_str(), "cannot write to a directory"),
        ("/dev/null", "cannot write to a character device file"),
        ("/nosuch/x.tar", "invalid output path: stat /nosuch: "),
    ] {
        let refusal = format!("failed to save image: {why}");
        sandbox.sampan(["save", "--output", path, "busybox"]).fails(1).complains(&refusal);
    }
}

#[test]
fn a_name_that_an_archive_takes_is_told() {
    let (Some(sandbox), Some(archive)) = (sandbox(), base_image("busybox:latest")) else { return };
    let id = crate::history::build(&sandbox, "app");
    sandbox.sampan(["tag", "app", "busybox"]).ok();
    let archive = archive.to_str().unwrap();
    sandbox.sampan(["load", "-i", archive]).ok().prints(&format!(
        "The image busybox:latest already exists, renaming the old one with ID {id} to empty string\n\
         Loaded image: busybox:latest\n"
    ));
    sandbox.sampan(["load", "-i", archive]).ok().prints("Loaded image: busybox:latest\n");
    let other = ["load", "--platform", "linux/s390x", "-i", archive];
    sandbox.sampan(other).fails(1).complains("does not match the specified platform (linux/s390x)");
}
