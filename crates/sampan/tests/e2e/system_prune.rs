//! `system prune`: all that is of no use to anything.

use testkit::{Outcome, Sandbox};

use crate::{
    df::{disk, is_about},
    history::build,
    idle, sandbox,
    trash::keeping,
};

const PARTS: [&str; 5] = ["blobs", "layers", "containers", "volumes", "cache"];

/// Things of every kind of which nothing is needed, and some that are.
fn scene(sandbox: &Sandbox) -> Scene {
    let image = build(sandbox, "app");
    sandbox.sampan(["rmi", "app"]).ok();
    idle(sandbox, &["--name", "running", "-v", "used:/data"]);
    sandbox
        .sampan([
            "run",
            "--name",
            "over",
            "-v",
            "/data",
            "busybox",
            "dd",
            "if=/dev/zero",
            "of=/data/f",
            "bs=1M",
            "count=1",
        ])
        .ok();
    sandbox.sampan(["network", "create", "red"]).ok();
    sandbox.sampan(["volume", "create", "named"]).ok();
    let container = crate::inspect(sandbox, "over", "{{.Id}}");
    let volume = crate::inspect(sandbox, "over", "{{(index .Mounts 0).Name}}");
    Scene { image, container, volume }
}

struct Scene {
    image: String,
    container: String,
    volume: String,
}

fn total(outcome: &Outcome, words: &str) -> String {
    outcome
        .lines()
        .last()
        .and_then(|line| line.strip_prefix(words))
        .unwrap_or_else(|| panic!("{outcome}"))
        .to_owned()
}

#[test]
fn what_nothing_needs_goes_in_dockers_order() {
    let Some(sandbox) = sandbox() else { return };
    let Scene { container, volume, .. } = scene(&sandbox);
    sandbox
        .sampan(["system", "prune", "-f", "--filter", "label=nobody.has=it"])
        .ok()
        .prints("Total reclaimed space: 0B\n");
    let planned = sandbox.sampan(["system", "prune", "--volumes", "--dry-run"]).ok();
    let kinds: Vec<&str> =
        planned.lines().iter().skip(1).take(3).map(|line| line.split("   ").next().unwrap()).collect();
    assert_eq!(kinds, ["container", "network", "volume"], "{planned}");
    let planned = planned.says("\nbuild cache");
    let before = disk(&sandbox, &PARTS);
    let pruned = sandbox.sampan(["system", "prune", "-f", "--volumes"]).ok();
    let expected = format!(
        "Deleted Containers:\n{container}\n\nDeleted Networks:\nred\n\nDeleted Volumes:\n{volume}\n\n\
         Deleted build cache objects:\n"
    );
    assert!(pruned.stdout.starts_with(&expected), "{pruned}");
    let said = total(&pruned, "Total reclaimed space: ");
    assert_eq!(said, total(&planned, "Would free: "), "{planned}\n{pruned}");
    let freed = before - disk(&sandbox, &PARTS);
    assert!(is_about(&said, freed), "{freed} in\n{pruned}");
    sandbox.sampan(["ps", "-a", "--format", "{{.Names}}"]).ok().prints("running\n");
    sandbox.sampan(["volume", "ls", "-q"]).ok().prints("named\nused\n");
    sandbox.sampan(["system", "prune", "-f"]).ok().prints("Total reclaimed space: 0B\n");
}

#[test]
fn with_all_images_go_that_no_container_is_made_from() {
    let Some(sandbox) = sandbox() else { return };
    let Scene { image, .. } = scene(&sandbox);
    build(&sandbox, "app");
    let planned = sandbox.sampan(["system", "prune", "--all", "--dry-run"]).ok();
    let planned = planned.says("\nimage         app:latest");
    let pruned = sandbox.sampan(["system", "prune", "--all", "--force"]).ok();
    let pruned = pruned.says(&format!("Deleted Images:\nuntagged: app:latest\ndeleted: {image}\n"));
    assert_eq!(
        total(&pruned, "Total reclaimed space: "),
        total(&planned, "Would free: "),
        "{planned}\n{pruned}"
    );
    sandbox.sampan(["images", "--format", "{{.Repository}}"]).ok().prints("busybox\n");
}

#[test]
fn all_of_it_comes_back_but_for_the_cache() {
    let Some(sandbox) = sandbox() else { return };
    let Scene { container, volume, .. } = scene(&sandbox);
    build(&sandbox, "app");
    keeping(&sandbox, &["system", "prune", "-af", "--volumes"]).ok();
    keeping(&sandbox, &["undo"])
        .ok()
        .prints(&format!("image app:latest\nnetwork red\nvolume {volume}\ncontainer over\n"));
    assert_eq!(crate::inspect(&sandbox, "over", "{{.Id}}"), container);
    sandbox.sampan(["run", "--rm", "--network", "red", "app", "true"]).ok();
    keeping(&sandbox, &["system", "prune", "-af", "--purge"]).ok();
    keeping(&sandbox, &["undo"]).fails(1).complains("the trash is empty");
}

#[test]
fn it_is_asked_first_and_told_what_is_meant() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["create", "--name", "over", "busybox"]).ok();
    let asked = |options: &[&str]| sandbox.sampan([&["system", "prune"], options].concat()).ok();
    asked(&[]).prints(
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n  \
         - all dangling images\n  - unused build cache\n\nAre you sure you want to continue? [y/N] ",
    );
    asked(&["-a", "--volumes", "--filter", "label=b", "--filter", "label!=a"]).prints(
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n  \
         - all anonymous volumes not used by at least one container\n  \
         - all images without at least one container associated to them\n  - all build cache\n\n  \
         Items to be pruned will be filtered with:\n  - label!=a\n  - label=b\n\n\
         Are you sure you want to continue? [y/N] ",
    );
    sandbox.sampan(["ps", "-aq"]).ok().word();
    sandbox
        .sampan(["system", "prune", "--volumes", "--filter", "until=1h"])
        .fails(1)
        .complains("ERROR: The \"until\" filter is not supported with \"--volumes\"\n");
    sandbox
        .sampan(["system", "prune", "-f", "--filter", "name=a"])
        .fails(1)
        .complains("Error response from daemon: invalid filter 'name'");
}

#[test]
fn the_filters_of_the_users_configuration_count_for_all_of_pruning() {
    let Some(sandbox) = sandbox() else { return };
    std::fs::create_dir_all(sandbox.configuration()).unwrap();
    std::fs::write(sandbox.configuration().join("config.json"), r#"{"pruneFilters": ["label!=keep"]}"#)
        .unwrap();
    for label in ["keep", "other"] {
        sandbox.sampan(["create", "--name", label, "--label", label, "busybox"]).ok();
        sandbox.sampan(["network", "create", "--label", label, label]).ok();
        sandbox.sampan(["volume", "create", "--label", label, label]).ok();
    }
    sandbox.sampan(["system", "prune", "-f"]).ok().says("Deleted Networks:\nother\n\n");
    sandbox.sampan(["ps", "-a", "--format", "{{.Names}}"]).ok().prints("keep\n");
    sandbox.sampan(["volume", "prune", "-af"]).ok().says("Deleted Volumes:\nother\n\n");
    sandbox.sampan(["container", "prune", "-f"]).ok().prints("Total reclaimed space: 0B\n");
    sandbox.sampan(["container", "prune", "-f", "--filter", "label=keep"]).ok().says("Deleted Containers:\n");
}
