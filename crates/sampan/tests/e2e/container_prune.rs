//! `container prune`: containers that do not run.

use crate::{idle, sandbox};

#[test]
fn all_that_do_not_run_go() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "running"]);
    idle(&sandbox, &["--name", "paused"]);
    sandbox.sampan(["pause", "paused"]).ok();
    let created = sandbox.sampan(["create", "busybox"]).ok().word().to_owned();
    sandbox
        .sampan(["run", "--name", "over", "busybox", "dd", "if=/dev/zero", "of=/file", "bs=1M", "count=3"])
        .ok();
    let over = sandbox.sampan(["inspect", "--format", "{{.Id}}", "over"]).ok().word().to_owned();
    sandbox.sampan(["container", "prune"]).ok().prints(
        "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ",
    );
    let pruned = sandbox.sampan(["container", "prune", "--force"]).ok();
    let expected = format!("Deleted Containers:\n{over}\n{created}\n\nTotal reclaimed space: ");
    assert!(pruned.stdout.starts_with(&expected), "{pruned}");
    let said = pruned.lines()[4].strip_prefix("Total reclaimed space: ").unwrap();
    assert!(said.starts_with("3.") && said.ends_with("MB"), "{pruned}");
    sandbox.sampan(["ps", "-a", "--format", "{{.Names}}"]).ok().prints("paused\nrunning\n");
    sandbox.sampan(["container", "prune", "-f"]).ok().prints("Total reclaimed space: 0B\n");
}

#[test]
fn only_what_a_filter_means_goes() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["create", "--name", "aa", "--label", "kind=x", "busybox"]).ok();
    sandbox.sampan(["create", "--name", "bb", "--label", "kind=y", "busybox"]).ok();
    sandbox.sampan(["create", "--name", "cc", "busybox"]).ok();
    let left = |filter: &str, expected: &str| {
        sandbox.sampan(["container", "prune", "-f", "--filter", filter]).ok();
        sandbox.sampan(["ps", "-a", "--format", "{{.Names}}"]).ok().prints(expected);
    };
    left("until=24h", "cc\nbb\naa\n");
    left("label=kind=x", "cc\nbb\n");
    left("label!=kind", "bb\n");
    left("until=0s", "");
    sandbox
        .sampan(["container", "prune", "-f", "--filter", "name=a"])
        .fails(1)
        .complains("Error response from daemon: invalid filter 'name'");
}
