//! `diff`, `commit` and `export`: what a container has made of its image.

use std::{process::Command, time::Duration};

use crate::{background, idle, inspect, sandbox};

/// A container that has changed this and that, and has ended.
const CHANGES: &str = "echo x >> /etc/passwd; mkdir /made; echo one > /made/file; rm /etc/group; rm -r /home; \
                       chmod 750 /root; echo of-volume > /data/file";

#[test]
fn what_was_changed_added_and_deleted_is_listed_by_path() {
    let Some(sandbox) = sandbox() else { return };
    background(&sandbox, &["--name", "one", "-v", "data:/data"], CHANGES);
    sandbox.sampan(["wait", "one"]).ok();
    let listed = sandbox.sampan(["diff", "one"]).ok();
    let expected = [
        "A /data",
        "C /etc",
        "D /etc/group",
        "C /etc/passwd",
        "D /home",
        "A /made",
        "A /made/file",
        "C /root",
    ];
    assert_eq!(listed.lines(), expected);
    sandbox
        .sampan(["container", "diff", "--format", "{{.Type}}:{{.Path}}", "one"])
        .ok()
        .says("A:/made\nA:/made/file\n");
    sandbox.sampan(["create", "--name", "new", "busybox"]).ok();
    sandbox.sampan(["diff", "new"]).ok().prints("");
    sandbox.sampan(["diff", "nobody"]).fails(1).complains("No such container: nobody");
}

#[test]
fn an_image_is_made_of_what_a_container_changed() {
    let Some(sandbox) = sandbox() else { return };
    let options = [
        "--name",
        "one",
        "-v",
        "data:/data",
        "-e",
        "COLOUR=red",
        "-w",
        "/made",
        "-l",
        "a=b",
        "--expose",
        "80",
    ];
    background(&sandbox, &options, &format!("{CHANGES}; exec tail -f /dev/null"));
    sandbox.sampan(["exec", "one", "sh", "-c", "until [ -e /data/file ]; do :; done"]).ok();
    let commit = ["commit", "-a", "me", "-m", "my words", "one", "me/app:v1"];
    let id = sandbox.sampan(commit).ok().word().to_owned();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    assert_eq!(inspect(&sandbox, "me/app:v1", "{{.Id}}"), id);
    let script = "cat file; ls / | grep home; cat /etc/group; stat -c %a /root; echo $COLOUR; ls /data";
    sandbox
        .sampan(["run", "--rm", "me/app:v1", "sh", "-c", script])
        .ok()
        .prints("one\n750\nred\n")
        .complains("/etc/group");
    let template =
        "{{.Author}} {{.Config.WorkingDir}} {{index .Config.Labels \"a\"}} {{json .Config.ExposedPorts}}";
    assert_eq!(inspect(&sandbox, "me/app:v1", template), "me /made b {\"80/tcp\":{}}");
    sandbox.sampan(["history", "--format", "{{.Comment}}", "me/app:v1"]).ok().says("my words\n");
    // It goes on.
    sandbox.sampan(["exec", "one", "true"]).ok();
    let again = sandbox.sampan(["commit", "--pause=false", "one"]).ok().word().to_owned();
    sandbox.sampan(["run", "--rm", &again, "cat", "/made/file"]).ok().prints("one\n");
}

#[test]
fn instructions_change_the_image_that_is_made() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["create", "--name", "one", "busybox", "false"]).ok();
    let changes = ["CMD [\"echo\", \"hello\"]", "ENV COLOUR=red", "USER nobody", "VOLUME /data"];
    let mut commit = vec!["commit"];
    changes.iter().for_each(|change| commit.extend(["--change", change]));
    commit.extend(["one", "me/app"]);
    sandbox.sampan(&commit).ok();
    sandbox.sampan(["run", "--rm", "me/app"]).ok().prints("hello\n");
    let template = "{{json .Config.Env}} {{.Config.User}} {{json .Config.Volumes}}";
    assert!(inspect(&sandbox, "me/app", template).ends_with("\"COLOUR=red\"] nobody {\"/data\":{}}"));
    sandbox
        .sampan(["commit", "-c", "RUN true", "one"])
        .fails(1)
        .complains("Error response from daemon: RUN is not a valid change command\n");
    sandbox.sampan(["commit", "one", "Upper"]).fails(1).complains("must be lowercase");
}

#[test]
fn all_files_of_a_container_go_into_an_archive_but_what_is_mounted() {
    let Some(sandbox) = sandbox() else { return };
    let options = ["--name", "one", "-v", "data:/data"];
    background(&sandbox, &options, &format!("{CHANGES}; exec tail -f /dev/null"));
    sandbox.sampan(["exec", "one", "sh", "-c", "until [ -e /data/file ]; do :; done"]).ok();
    let archive = sandbox.directory().join("one.tar");
    let archive = archive.to_str().unwrap();
    let listed = || {
        let output = Command::new("tar").args(["-t", "-f", archive]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let check = |listed: &str| {
        let has = |name: &str| listed.lines().any(|line| line == name);
        assert!(has("made/file") && has("etc/passwd") && has("data/") && has("proc/"), "{listed}");
        assert!(
            !has("data/file") && !has("etc/group") && !has("home/") && !listed.contains("proc/1"),
            "{listed}"
        );
    };
    sandbox.sampan(["export", "--output", archive, "one"]).ok().prints("");
    check(&listed());
    sandbox.sampan(["rm", "--force", "one"]).ok();
    background(&sandbox, &["--name", "two", "-v", "data:/data"], CHANGES);
    sandbox.sampan(["wait", "two"]).ok();
    sandbox.start(sandbox.shell(&format!("$SAMPAN export two > {archive}"))).finish().ok();
    check(&listed());
    sandbox.sampan(["import", archive, "flat"]).ok();
    sandbox.sampan(["run", "--rm", "flat", "cat", "/made/file"]).ok().prints("one\n");
    sandbox.on_terminal(["export", "two"]).finish().fails(1).says("cowardly refusing to save to a terminal");
}

#[test]
fn an_imported_image_can_be_told_how_to_run() {
    let Some(sandbox) = sandbox() else { return };
    let one = idle(&sandbox, &[]);
    let script = format!("$SAMPAN export {one} | $SAMPAN import -c 'CMD [\"echo\", \"hello\"]' - flat");
    sandbox.start(sandbox.shell(&script)).finish().ok();
    sandbox.sampan(["run", "--rm", "flat"]).ok().prints("hello\n");
}

#[test]
fn a_container_is_paused_while_an_image_is_made_of_it() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "one"]);
    sandbox.sampan(["commit", "-m", "my words", "one", "me/app"]).ok();
    sandbox.sampan(["pause", "one"]).ok();
    sandbox.sampan(["commit", "one"]).ok();
    assert_eq!(inspect(&sandbox, "one", "{{.State.Status}}"), "paused");
    sandbox.sampan(["unpause", "one"]).ok();
    sandbox.sampan(["commit", "--no-pause", "one"]).ok();
    let format = "{{.Action}}|{{.Actor.Attributes.comment}}|{{.Actor.Attributes.imageRef}}";
    let filter = "type=container";
    let events =
        sandbox.sampan(["events", "--since", "1h", "--until", "0s", "-f", filter, "--format", format]).ok();
    let told =
        events.lines().into_iter().filter(|line| !line.starts_with("create") && !line.starts_with("start"));
    let told: Vec<_> = told.map(|line| line.replace("|<no value>", "")).collect();
    let commit = "commit|my words|me/app:latest";
    assert_eq!(told, ["pause", commit, "unpause", "pause", "commit||", "unpause", "commit||"], "{events}");
}

#[test]
fn a_commit_that_is_killed_leaves_no_container_paused() {
    let Some(sandbox) = sandbox() else { return };
    // So much that it takes a while to read.
    let script = "head -c 300000000 /dev/urandom >/big; echo ready; exec tail -f /dev/null";
    let id = background(&sandbox, &["--name", "one"], script);
    sandbox.wait_for_log(&id, "ready");
    let commit = sandbox.start_sampan(["commit", "one"]);
    testkit::eventually("the container is paused", || match inspect(&sandbox, "one", "{{.State.Status}}") {
        status if status == "paused" => Ok(()),
        status => Err(status),
    });
    commit.kill_after(Duration::ZERO).fails(137);
    assert_eq!(inspect(&sandbox, "one", "{{.State.Status}}"), "running");
    sandbox.sampan(["exec", "one", "true"]).ok();
    // A user's pause is nobody else's to end.
    sandbox.sampan(["pause", "one"]).ok();
    assert_eq!(inspect(&sandbox, "one", "{{.State.Status}}"), "paused");
    sandbox.sampan(["unpause", "one"]).ok();
}

#[test]
fn what_programs_look_for_in_a_container_is_there_and_is_no_change() {
    let Some(sandbox) = sandbox() else { return };
    let script = "test -f /.dockerenv && readlink /etc/mtab";
    sandbox.sampan(["run", "--name", "one", "busybox", "sh", "-c", script]).ok().prints("/proc/mounts\n");
    sandbox.sampan(["diff", "one"]).ok().prints("");
    let archive = sandbox.directory().join("one.tar");
    let archive = archive.to_str().unwrap();
    sandbox.sampan(["export", "-o", archive, "one"]).ok();
    let output = Command::new("tar").args(["-t", "-f", archive]).output().unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    for name in [".dockerenv", "dev/console", "dev/pts/", "dev/shm/", "etc/mtab", "etc/resolv.conf"] {
        assert!(listed.lines().any(|line| line == name), "{name} is not among {listed}");
    }
}
