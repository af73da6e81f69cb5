//! `rm`: removing containers.

use crate::{idle, sandbox};

#[test]
fn what_runs_is_removed_by_force_only() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "busy", "-p", "8080:80"]);
    sandbox
        .sampan(["rm", "busy"])
        .fails(1)
        .complains("cannot remove container \"busy\": container is running: stop the container before removing or force remove");
    sandbox.sampan(["ps", "--format", "{{.Names}}"]).ok().prints("busy\n");
    sandbox.sampan(["rm", "-f", "busy"]).ok().prints("busy\n");
    sandbox.sampan(["ps", "-aq"]).ok().prints("");
    sandbox.is_clean();
}

#[test]
fn several_are_removed_and_those_that_are_not_there_are_named() {
    let Some(sandbox) = sandbox() else { return };
    for name in ["one", "two"] {
        sandbox.sampan(["create", "--name", name, "busybox"]).ok();
    }
    sandbox
        .sampan(["rm", "one", "nosuch", "two"])
        .fails(1)
        .prints("one\ntwo\n")
        .complains("No such container: nosuch");
    sandbox.sampan(["rm", "-f", "nosuch"]).ok().prints("");
}

#[test]
fn all_containers_are_removed_by_the_ids_that_ps_prints() {
    let Some(sandbox) = sandbox() else { return };
    for _ in 0..3 {
        sandbox.sampan(["run", "busybox", "true"]).ok();
    }
    sandbox.start(sandbox.shell("$SAMPAN rm $($SAMPAN ps -a -q)")).finish().ok();
    sandbox.sampan(["ps", "-aq"]).ok().prints("");
    sandbox.is_clean();
}

#[test]
fn a_first_part_of_an_id_that_means_several_is_refused() {
    let Some(sandbox) = sandbox() else { return };
    for _ in 0..17 {
        sandbox.sampan(["create", "busybox"]).ok();
    }
    // Of 17 ids, two begin with the same digit.
    let ids = sandbox.sampan(["ps", "-aq"]).ok();
    let first = |id: &str| id[..1].to_owned();
    let mut digits: Vec<String> = ids.lines().into_iter().map(first).collect();
    digits.sort();
    let twice = digits.windows(2).find(|pair| pair[0] == pair[1]).unwrap()[0].clone();
    sandbox.sampan(["rm", &twice]).fails(1).complains("multiple IDs found with provided prefix");
    assert_eq!(sandbox.sampan(["ps", "-aq"]).ok().stdout, ids.stdout);
}
