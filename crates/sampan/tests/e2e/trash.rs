//! `undo`, `trash`, `--dry-run` and `--purge`: what was removed can be had back.

use std::fs;

use testkit::{Outcome, Sandbox};

use crate::{
    background,
    df::{disk, is_about},
    history::build,
    inspect, sandbox,
};

/// Runs a command that keeps what it removes.
#[track_caller]
pub fn keeping(sandbox: &Sandbox, arguments: &[&str]) -> Outcome {
    let mut command = sandbox.command(arguments);
    command.env("SAMPAN_TRASH_SPACE", "1g");
    sandbox.start(command).finish()
}

/// A container that has ended, with something it wrote and said.
fn ended(sandbox: &Sandbox, name: &str, options: &[&str]) -> String {
    let id = background(
        sandbox,
        &[&["--name", name], options].concat(),
        "echo said; echo written > /file; exit 3",
    );
    sandbox.sampan(["wait", name]).ok().prints("3\n");
    id
}

#[test]
fn a_container_comes_back_whole() {
    let Some(sandbox) = sandbox() else { return };
    let id = ended(&sandbox, "one", &["-e", "COLOUR=red"]);
    keeping(&sandbox, &["rm", "one"]).ok().prints("one\n");
    sandbox.sampan(["ps", "-a", "-q"]).ok().prints("");
    keeping(&sandbox, &["trash", "ls", "--format", "{{.Kind}} {{.Name}}"]).ok().prints("container one\n");
    keeping(&sandbox, &["undo"]).ok().prints("container one\n");
    assert_eq!(inspect(&sandbox, "one", "{{.Id}} {{.State.ExitCode}}"), format!("{id} 3"));
    sandbox.sampan(["logs", "one"]).ok().prints("said\n");
    sandbox.sampan(["cp", "one:/file", "-"]).ok().says("written\n");
    sandbox.sampan(["start", "-a", "one"]).fails(3).prints("said\n");
    keeping(&sandbox, &["trash", "ls", "-q"]).ok().prints("");
    keeping(&sandbox, &["undo"]).fails(1).complains("the trash is empty");
}

#[test]
fn what_one_command_removed_comes_back_at_once_and_the_last_first() {
    let Some(sandbox) = sandbox() else { return };
    for name in ["one", "two", "three"] {
        ended(&sandbox, name, &["-v", "/data"]);
    }
    keeping(&sandbox, &["rm", "one"]).ok();
    keeping(&sandbox, &["rm", "-v", "two", "three"]).ok();
    let names = || sandbox.sampan(["ps", "-a", "--format", "{{.Names}}"]).ok().stdout;
    let volumes = || sandbox.sampan(["volume", "ls", "-q"]).ok().lines().len();
    assert_eq!((names().as_str(), volumes()), ("", 1));
    keeping(&sandbox, &["undo"]).ok().says("container two\n").says("container three\n").says("volume ");
    assert_eq!((names().lines().count(), volumes()), (2, 3));
    keeping(&sandbox, &["undo"]).ok().prints("container one\n");
    assert_eq!(names().lines().count(), 3);
}

#[test]
fn a_name_that_is_taken_by_now_is_not_taken_back() {
    let Some(sandbox) = sandbox() else { return };
    let id = ended(&sandbox, "one", &[]);
    keeping(&sandbox, &["rm", "one"]).ok();
    sandbox.sampan(["create", "--name", "one", "busybox"]).ok();
    let back = keeping(&sandbox, &["undo"]).ok();
    assert_eq!(
        inspect(&sandbox, &id, "{{.Name}}"),
        format!("/{}", back.word().strip_prefix("container ").unwrap())
    );
    assert_ne!(back.word(), "container one");
    sandbox.sampan(["volume", "create", "data"]).ok();
    keeping(&sandbox, &["volume", "rm", "data"]).ok();
    sandbox.sampan(["volume", "create", "data"]).ok();
    keeping(&sandbox, &["undo"]).fails(1).complains("there is a volume data already");
    keeping(&sandbox, &["trash", "ls", "-q"]).ok().says("");
}

#[test]
fn volumes_come_back_with_their_files_and_labels() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["volume", "create", "--label", "a=b", "data"]).ok();
    crate::shell(&sandbox, &["-v", "data:/data"], "echo kept > /data/file").ok();
    keeping(&sandbox, &["volume", "prune", "-af"]).ok().says("Deleted Volumes:\ndata\n");
    sandbox.sampan(["volume", "ls", "-q"]).ok().prints("");
    keeping(&sandbox, &["trash", "restore", "data"]).ok().prints("data\n");
    crate::shell(&sandbox, &["-v", "data:/data"], "cat /data/file").ok().prints("kept\n");
    sandbox.sampan(["volume", "inspect", "-f", "{{.Labels.a}}", "data"]).ok().prints("b\n");
    keeping(&sandbox, &["trash", "restore", "data"])
        .fails(1)
        .complains("nothing called data is in the trash");
}

#[test]
fn images_come_back_with_their_names_and_layers() {
    let Some(sandbox) = sandbox() else { return };
    let id = build(&sandbox, "app");
    sandbox.sampan(["tag", "app", "app:other"]).ok();
    sandbox.sampan(["builder", "prune", "-af"]).ok();
    keeping(&sandbox, &["rmi", "app:other"]).ok().prints("Untagged: app:other\n");
    keeping(&sandbox, &["rmi", "app"]).ok().says("Untagged: app:latest\n").says(&format!("Deleted: {id}\n"));
    sandbox.sampan(["images", "-q", "app"]).ok().prints("");
    // Whatever is collected meanwhile.
    sandbox.sampan(["image", "prune", "-f"]).ok();
    keeping(&sandbox, &["undo"]).ok().prints("image app:latest\n");
    assert_eq!(inspect(&sandbox, "app", "{{.Id}}"), id);
    sandbox.sampan(["run", "--rm", "app", "true"]).ok();
    keeping(&sandbox, &["undo"]).ok().prints("image app:other\n");
    assert_eq!(inspect(&sandbox, "app:other", "{{.Id}}"), id);
    keeping(&sandbox, &["image", "prune", "-af"]).ok().says("untagged: app:latest\n");
    keeping(&sandbox, &["undo"]).ok();
    sandbox.sampan(["run", "--rm", "app", "true"]).ok();
}

#[test]
fn a_container_in_the_trash_keeps_its_image() {
    let Some(sandbox) = sandbox() else { return };
    build(&sandbox, "app");
    sandbox.sampan(["builder", "prune", "-af"]).ok();
    sandbox.sampan(["create", "--name", "one", "app", "echo", "alive"]).ok();
    keeping(&sandbox, &["rm", "one"]).ok();
    sandbox.sampan(["rmi", "app"]).ok();
    sandbox.sampan(["image", "prune", "-af"]).ok();
    keeping(&sandbox, &["undo"]).ok();
    sandbox.sampan(["start", "-a", "one"]).ok().prints("alive\n");
}

#[test]
fn a_dry_run_says_what_would_go_and_leaves_it() {
    let Some(sandbox) = sandbox() else { return };
    ended(&sandbox, "one", &["-v", "/data"]);
    keeping(&sandbox, &["rm", "-v", "--dry-run", "one"])
        .ok()
        .says("KIND        NAME")
        .says("\ncontainer   one")
        .says("\nvolume      ")
        .says("\n\nWould free: ");
    keeping(&sandbox, &["rm", "--dry-run", "nobody"]).fails(1).complains("No such container: nobody");
    sandbox.sampan(["volume", "create", "data"]).ok();
    keeping(&sandbox, &["volume", "rm", "--dry-run", "data"]).ok().says("volume    data      8.192kB\n");
    keeping(&sandbox, &["volume", "prune", "--all", "--dry-run"]).ok().says("data");
    keeping(&sandbox, &["rmi", "-f", "--dry-run", "busybox"]).ok().says("image     busybox:latest");
    assert_eq!(sandbox.sampan(["ps", "-a", "-q"]).ok().lines().len(), 1);
    assert_eq!(sandbox.sampan(["volume", "ls", "-q"]).ok().lines().len(), 2);
    assert_eq!(sandbox.sampan(["images", "-q"]).ok().lines().len(), 1);
}

/// What the removal frees is what was said, whatever is shared.
#[test]
fn a_dry_run_adds_up_to_what_is_freed() {
    let Some(sandbox) = sandbox() else { return };
    let base = build(&sandbox, "base");
    let context = sandbox.directory().join("more");
    fs::create_dir_all(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM base\nRUN head -c 300000 /dev/zero > /more\n").unwrap();
    sandbox.sampan(["build", "-q", "-t", "more", context.to_str().unwrap()]).ok();
    sandbox.sampan(["tag", "more", "more:other"]).ok();
    sandbox.sampan(["builder", "prune", "-af"]).ok();
    let parts = ["blobs", "layers"];
    let check = |arguments: &[&str]| {
        let planned = sandbox.sampan([arguments, &["--dry-run"]].concat()).ok();
        let before = disk(&sandbox, &parts);
        sandbox.sampan(arguments).ok();
        let freed = before - disk(&sandbox, &parts);
        let said = planned.lines().last().unwrap().strip_prefix("Would free: ").unwrap().to_owned();
        assert!(freed > 300_000.0 && is_about(&said, freed), "{freed} of\n{planned}");
        planned
    };
    sandbox.sampan(["rmi", "--dry-run", "more"]).ok().says("Would free: 0B\n");
    sandbox.sampan(["rmi", "--dry-run", "more", "more"]).fails(1).complains("No such image: more:latest");
    check(&["rmi", "more:other", "more", "base"]).says(&format!("\nimage     {base}"));
    sandbox.sampan(["create", "--name", "one", "busybox"]).ok();
    sandbox.sampan(["rm", "--dry-run", "one", "one"]).fails(1).complains("No such container: one");
    sandbox.sampan(["rm", "--dry-run", "-f", "one", "nobody"]).ok().complains("No such container: nobody");
}

#[test]
fn what_pruning_removed_comes_back() {
    let Some(sandbox) = sandbox() else { return };
    let id = ended(&sandbox, "one", &[]);
    sandbox.sampan(["network", "create", "--label", "a=b", "red"]).ok();
    let subnet = inspect(&sandbox, "red", "{{(index .IPAM.Config 0).Subnet}}");
    keeping(&sandbox, &["container", "prune", "--dry-run"]).ok().says("\ncontainer   one ");
    keeping(&sandbox, &["container", "prune", "-f"]).ok().says(&id);
    keeping(&sandbox, &["network", "prune", "--dry-run"]).ok().says("\nnetwork   red ");
    keeping(&sandbox, &["network", "prune", "-f"]).ok().says("red\n");
    keeping(&sandbox, &["undo"]).ok().prints("network red\n");
    keeping(&sandbox, &["undo"]).ok().prints("container one\n");
    sandbox.sampan(["logs", "one"]).ok().prints("said\n");
    assert_eq!(
        inspect(&sandbox, "red", "{{(index .IPAM.Config 0).Subnet}} {{.Labels.a}}"),
        format!("{subnet} b")
    );
    crate::shell(&sandbox, &["--network", "red"], "ip route").ok().says(subnet.split('/').next().unwrap());
    keeping(&sandbox, &["network", "rm", "--dry-run", "red"]).ok().says("\nnetwork   red       0B\n");
    keeping(&sandbox, &["network", "rm", "red"]).ok().prints("red\n");
    sandbox.sampan(["network", "create", "red"]).ok();
    keeping(&sandbox, &["undo"]).fails(1).complains("network with name red already exists");
    sandbox.sampan(["network", "rm", "red"]).ok();
    sandbox.sampan(["network", "create", "--subnet", &subnet, "blue"]).ok();
    keeping(&sandbox, &["undo"]).fails(1).complains("Pool overlaps with other one on this address space");
    sandbox.sampan(["network", "rm", "blue"]).ok();
    keeping(&sandbox, &["trash", "restore", "red"]).ok().prints("red\n");
    keeping(&sandbox, &["container", "prune", "-f", "--purge"]).ok();
    keeping(&sandbox, &["network", "rm", "--purge", "red"]).ok();
    keeping(&sandbox, &["trash", "ls", "-q"]).ok().prints("");
}

#[test]
fn what_is_purged_or_removes_itself_is_gone() {
    let Some(sandbox) = sandbox() else { return };
    ended(&sandbox, "one", &[]);
    keeping(&sandbox, &["rm", "--purge", "one"]).ok();
    keeping(&sandbox, &["run", "--rm", "-v", "/data", "busybox", "true"]).ok();
    keeping(&sandbox, &["trash", "ls", "-q"]).ok().prints("");
    let directory = sandbox.root().join("trash");
    assert!(!directory.exists() || fs::read_dir(directory).unwrap().next().is_none());
}

#[test]
fn the_trash_is_counted_and_emptied() {
    let Some(sandbox) = sandbox() else { return };
    background(&sandbox, &["--name", "one"], "head -c 1000000 /dev/zero > /file");
    sandbox.sampan(["wait", "one"]).ok();
    keeping(&sandbox, &["rm", "one"]).ok();
    let df = sandbox.sampan(["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Size}}"]).ok();
    assert!(df.lines().last().unwrap().starts_with("Trash 1 1.0"), "{df}");
    sandbox.sampan(["trash", "empty", "--force"]).ok().says("Total reclaimed space: 1.0");
    assert_eq!(sandbox.sampan(["system", "df", "--format", "{{.Type}}"]).ok().lines().len(), 4);
    assert_eq!(fs::read_dir(sandbox.root().join("trash")).unwrap().count(), 0);
}

#[test]
fn what_exceeds_the_budget_goes_the_oldest_first() {
    let Some(sandbox) = sandbox() else { return };
    for name in ["one", "two", "three"] {
        background(&sandbox, &["--name", name], "head -c 400000 /dev/zero > /file");
        sandbox.sampan(["wait", name]).ok();
        let mut command = sandbox.command(["rm", name]);
        command.env("SAMPAN_TRASH_SPACE", "1m");
        sandbox.start(command).finish().ok();
    }
    keeping(&sandbox, &["trash", "ls", "--format", "{{.Name}}"]).ok().prints("three\ntwo\n");
}

/// A kill between the rows and the renaming, both ways: the rows decide.
#[test]
fn an_interrupted_removal_did_not_happen_and_an_interrupted_undo_neither() {
    let Some(sandbox) = sandbox() else { return };
    let id = ended(&sandbox, "one", &[]);
    let (place, trash) = (sandbox.root().join("containers").join(&id), sandbox.root().join("trash"));
    fs::create_dir_all(&trash).unwrap();
    fs::rename(&place, trash.join(&id)).unwrap();
    sandbox.sampan(["ps", "-a"]).ok();
    sandbox.sampan(["system", "df"]).ok();
    sandbox.sampan(["logs", "one"]).ok().prints("said\n");
    keeping(&sandbox, &["rm", "one"]).ok();
    fs::rename(trash.join(&id), &place).unwrap();
    sandbox.sampan(["system", "df"]).ok();
    assert!(trash.join(&id).exists());
    keeping(&sandbox, &["undo"]).ok();
    sandbox.sampan(["logs", "one"]).ok().prints("said\n");
}
