//! `cp`: files into and out of containers.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
};

use testkit::{Outcome, Sandbox};

use crate::{background, idle, inspect, sandbox};

/// A sandbox with files to copy, in which commands are at home.
struct Desk {
    sandbox: Sandbox,
    directory: PathBuf,
}

impl Desk {
    fn new() -> Option<Desk> {
        let sandbox = sandbox()?;
        let directory = sandbox.directory().join("desk");
        fs::create_dir_all(directory.join("dir/sub")).unwrap();
        fs::write(directory.join("file"), "of the host\n").unwrap();
        fs::write(directory.join("dir/sub/leaf"), "leaf\n").unwrap();
        symlink("sub/leaf", directory.join("dir/link")).unwrap();
        Some(Desk { sandbox, directory })
    }

    #[track_caller]
    fn cp(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.sandbox.command([&["cp"], arguments].concat());
        command.current_dir(&self.directory);
        self.sandbox.start(command).finish()
    }

    #[track_caller]
    fn inside(&self, container: &str, script: &str) -> Outcome {
        self.sandbox.sampan(["exec", container, "sh", "-c", script])
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.directory.join(path)).unwrap()
    }
}

#[test]
fn a_file_goes_into_a_directory_takes_a_name_or_replaces_one() {
    let Some(desk) = Desk::new() else { return };
    idle(&desk.sandbox, &["--name", "one"]);
    desk.cp(&["file", "one:/tmp"]).ok().prints("");
    desk.cp(&["file", "one:/tmp/renamed"]).ok();
    desk.cp(&["file", "one:/etc/motd"]).ok();
    desk.cp(&["./file", "one:tmp/relative"]).ok();
    desk.inside("one", "cat /tmp/file /tmp/renamed /etc/motd /tmp/relative")
        .ok()
        .prints(&"of the host\n".repeat(4));
    desk.cp(&["one:/etc/passwd", "."]).ok();
    desk.cp(&["one:/etc/passwd", "renamed"]).ok();
    assert!(desk.read("passwd").starts_with("root:") && desk.read("renamed").starts_with("root:"));
}

#[test]
fn a_directory_goes_into_one_becomes_one_or_gives_its_content() {
    let Some(desk) = Desk::new() else { return };
    idle(&desk.sandbox, &["--name", "one"]);
    desk.cp(&["dir", "one:/tmp"]).ok();
    desk.cp(&["dir", "one:/new"]).ok();
    desk.cp(&["dir/.", "one:/content"]).ok();
    desk.inside("one", "find /tmp/dir /new /content | sort").ok().prints(
        "/content\n/content/link\n/content/sub\n/content/sub/leaf\n/new\n/new/link\n/new/sub\n/new/sub/leaf\n\
             /tmp/dir\n/tmp/dir/link\n/tmp/dir/sub\n/tmp/dir/sub/leaf\n",
    );
    desk.cp(&["one:/new", "out"]).ok();
    desk.cp(&["one:/new", "out"]).ok();
    desk.cp(&["one:/new/.", "out"]).ok();
    assert_eq!(desk.read("out/sub/leaf") + &desk.read("out/new/sub/leaf"), "leaf\nleaf\n");
    assert_eq!(fs::read_link(desk.directory.join("out/link")).unwrap(), PathBuf::from("sub/leaf"));
}

#[test]
fn what_does_not_go_together_is_refused_in_dockers_words() {
    let Some(desk) = Desk::new() else { return };
    idle(&desk.sandbox, &["--name", "one"]);
    let refused = |arguments: &[&str], why: &str| drop(desk.cp(arguments).fails(1).complains(why));
    let daemon = "Error response from daemon:";
    refused(
        &["file", "one:/no/such/dir"],
        &format!("{daemon} Could not find the file /no/such in container one\n"),
    );
    refused(&["one:/nosuch", "."], &format!("{daemon} Could not find the file /nosuch in container one\n"));
    refused(&["file", "nobody:/tmp"], &format!("{daemon} No such container: nobody\n"));
    refused(&["file", "one:/nosuch/"], "no such directory\n");
    refused(&["dir", "one:/etc/passwd"], "cannot copy directory\n");
    refused(&["one:/etc", "file"], "cannot copy directory\n");
    let missing = desk.directory.join("nosuch");
    refused(&["nosuch", "one:/tmp"], &format!("lstat {}: no such file or directory\n", missing.display()));
    refused(
        &["one:/etc/passwd", "nosuch/x"],
        &format!("invalid output path: directory {missing:?} does not exist\n"),
    );
    refused(
        &["one:/etc/passwd", "/dev/null"],
        "invalid output path: \"/dev/null\" must be a directory or a regular file: got a device\n",
    );
    refused(
        &["file", "one:/dev/null"],
        "destination \"one:/dev/null\" must be a directory or a regular file: got a device\n",
    );
    refused(&["one:/a", "one:/b"], "copying between containers is not supported\n");
    refused(&["a", "b"], "must specify at least one container source\n");
    refused(&["", "b"], "source can not be empty\n");
    refused(&["-", "one:/etc/passwd"], "destination \"one:/etc/passwd\" must be a directory\n");
    desk.inside("one", "mkdir -p /tmp/file /tmp/here; touch /tmp/here/dir").ok();
    refused(
        &["file", "one:/tmp"],
        &format!("{daemon} cannot overwrite directory \"/tmp/file\" with non-directory \"/tmp\"\n"),
    );
    refused(
        &["dir", "one:/tmp/here"],
        &format!("{daemon} cannot overwrite non-directory \"/tmp/here/dir\" with directory \"/tmp/here\"\n"),
    );
}

#[test]
fn archives_come_in_and_go_out() {
    let Some(desk) = Desk::new() else { return };
    idle(&desk.sandbox, &["--name", "one"]);
    let script = "tar -c dir file | $SAMPAN cp - one:/tmp && $SAMPAN cp one:/tmp/dir - | tar -t";
    let mut command = desk.sandbox.shell(script);
    command.current_dir(&desk.directory);
    desk.sandbox.start(command).finish().ok().prints("dir/\ndir/link\ndir/sub/\ndir/sub/leaf\n");
    desk.inside("one", "cat /tmp/file").ok().prints("of the host\n");
}

#[test]
fn owners_and_modes_go_along() {
    let Some(desk) = Desk::new() else { return };
    idle(&desk.sandbox, &["--name", "one"]);
    let file = desk.directory.join("file");
    std::os::unix::fs::chown(&file, Some(7), Some(8)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).unwrap();
    desk.cp(&["file", "one:/tmp/"]).ok();
    desk.inside("one", "stat -c '%a %u:%g' /tmp/file").ok().prints("4751 7:8\n");
    desk.cp(&["one:/tmp/file", "mine"]).ok();
    desk.cp(&["-a", "one:/tmp/file", "theirs"]).ok();
    let owner = |name: &str| {
        let metadata = fs::metadata(desk.directory.join(name)).unwrap();
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
    };
    assert_eq!(owner("theirs"), (0o4751, 7, 8));
    assert_eq!(owner("mine"), (0o4751, 0, 0));
}

#[test]
fn links_are_copied_or_followed() {
    let Some(desk) = Desk::new() else { return };
    idle(&desk.sandbox, &["--name", "one"]);
    symlink("file", desk.directory.join("link")).unwrap();
    desk.cp(&["link", "one:/tmp/link"]).ok();
    desk.cp(&["-L", "link", "one:/tmp/followed"]).ok();
    desk.inside("one", "readlink /tmp/link; cat /tmp/followed").ok().prints("file\nof the host\n");
    desk.inside("one", "echo target > /srv-file; ln -s /srv-file /l; mkdir /real; ln -s /real /d").ok();
    desk.cp(&["one:/l", "as-link"]).ok();
    desk.cp(&["-L", "one:/l", "as-file"]).ok();
    desk.cp(&["-L", "one:/l", "."]).ok();
    assert_eq!(fs::read_link(desk.directory.join("as-link")).unwrap(), PathBuf::from("/srv-file"));
    assert_eq!(desk.read("as-file") + &desk.read("l"), "target\ntarget\n");
    // A link at the destination is followed in any case.
    desk.cp(&["file", "one:/d"]).ok();
    desk.cp(&["file", "one:/l"]).ok();
    desk.inside("one", "cat /real/file /srv-file").ok().prints("of the host\nof the host\n");
}

#[test]
fn a_container_that_does_not_run_has_its_files_too() {
    let Some(desk) = Desk::new() else { return };
    desk.sandbox.sampan(["create", "--name", "new", "-v", "data:/data", "busybox", "cat", "/data/file"]).ok();
    desk.cp(&["file", "new:/data"]).ok();
    desk.cp(&["new:/etc/passwd", "."]).ok();
    desk.sandbox.sampan(["start", "-a", "new"]).ok().prints("of the host\n");
    background(&desk.sandbox, &["--name", "done"], "echo made > /made; rm /etc/passwd");
    desk.sandbox.sampan(["wait", "done"]).ok();
    desk.cp(&["done:/made", "."]).ok();
    assert_eq!(desk.read("made"), "made\n");
    desk.cp(&["done:/etc/passwd", "x"])
        .fails(1)
        .complains("Could not find the file /etc/passwd in container done");
    desk.cp(&["file", "done:/made"]).ok();
    desk.cp(&["done:/made", "again"]).ok();
    assert_eq!(desk.read("again"), "of the host\n");
    desk.sandbox.is_clean_but_for_containers();
}

#[test]
fn volumes_and_memory_of_a_running_container_are_reached() {
    let Some(desk) = Desk::new() else { return };
    let options =
        ["--name", "one", "-v", "data:/data", "--tmpfs", "/cache", "-v", "data:/frozen:ro", "--read-only"];
    idle(&desk.sandbox, &options);
    desk.cp(&["file", "one:/data"]).ok();
    desk.cp(&["file", "one:/cache/x"]).ok();
    desk.inside("one", "cat /data/file /cache/x").ok().prints("of the host\nof the host\n");
    desk.cp(&["one:/cache/x", "from-memory"]).ok();
    desk.cp(&["file", "one:/etc"])
        .fails(1)
        .complains("Error response from daemon: container rootfs is marked read-only\n");
    desk.cp(&["file", "one:/frozen/y"])
        .fails(1)
        .complains("Error response from daemon: mounted volume is marked read-only\n");
}

#[test]
fn what_the_kernel_makes_up_is_not_copied() {
    let Some(desk) = Desk::new() else { return };
    idle(&desk.sandbox, &["--name", "one"]);
    desk.cp(&["one:/", "all"]).ok();
    let count = |name: &str| fs::read_dir(desk.directory.join("all").join(name)).unwrap().count();
    assert_eq!((count("proc"), count("sys")), (0, 0));
    assert!(desk.read("all/etc/passwd").starts_with("root:"));
}

#[test]
fn only_a_terminal_is_told_how_much_it_was() {
    let Some(desk) = Desk::new() else { return };
    idle(&desk.sandbox, &["--name", "one"]);
    let on_terminal = |options: &[&str]| {
        let mut command = desk.sandbox.command([&["cp"], options, &["file", "one:/tmp/x"]].concat());
        command.current_dir(&desk.directory);
        desk.sandbox.start_on_terminal(command).finish().ok().stdout
    };
    assert_eq!(on_terminal(&[]), "Successfully copied 2.05kB to one:/tmp/x\r\n");
    assert_eq!(on_terminal(&["-q"]), "");
}

/// A container that exchanges a directory and a link out of it all the time cannot have files written or read outside.
#[test]
fn a_container_that_swaps_links_leads_nowhere() {
    let Some(desk) = Desk::new() else { return };
    let outside = desk.sandbox.directory().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let script = format!(
        "mkdir -p /real{0}; echo ready; while :; do rm -rf /swap; mkdir /swap; rm -rf /swap; \
         ln -s /../../../../../../..{0} /swap; done",
        outside.display()
    );
    let id = background(&desk.sandbox, &[], &script);
    desk.sandbox.wait_for_log(&id, "ready");
    for _ in 0..50 {
        // Each may find the one or the other, or neither.
        drop(desk.cp(&["file", &format!("{id}:/swap/made")]));
        drop(desk.cp(&["dir", &format!("{id}:/swap")]));
        drop(desk.cp(&[&format!("{id}:/swap/secret"), "stolen"]));
    }
    let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"]);
    assert!(!desk.directory.join("stolen").exists());
    assert_eq!(inspect(&desk.sandbox, &id, "{{.State.Running}}"), "true");
}
