//! `image prune`: images that nobody needs.

use crate::{
    df::{disk, is_about},
    history::build,
    sandbox,
};

#[test]
fn images_without_a_name_go_and_their_disk_is_free() {
    let Some(sandbox) = sandbox() else { return };
    let id = build(&sandbox, "app");
    // It would keep the layer.
    sandbox.sampan(["builder", "prune", "-af"]).ok();
    sandbox.sampan(["image", "prune", "--force"]).ok().prints("Total reclaimed space: 0B\n");
    sandbox.sampan(["tag", "busybox", "app"]).ok();
    let before = disk(&sandbox, &["blobs", "layers"]);
    let pruned = sandbox.sampan(["image", "prune", "-f"]).ok();
    let expected = format!("Deleted Images:\ndeleted: {id}\ndeleted: sha256:");
    assert!(pruned.stdout.starts_with(&expected), "{pruned}");
    let lines = pruned.lines();
    assert_eq!(lines[lines.len() - 2], "", "{pruned}");
    let freed = before - disk(&sandbox, &["blobs", "layers"]);
    let said = lines[lines.len() - 1].strip_prefix("Total reclaimed space: ").unwrap();
    assert!(is_about(said, freed), "{freed} in\n{pruned}");
    sandbox.sampan(["images", "--format", "{{.Repository}}"]).ok().prints("app\nbusybox\n");
}

#[test]
fn all_images_go_that_no_container_is_made_from() {
    let Some(sandbox) = sandbox() else { return };
    let id = build(&sandbox, "app");
    // It would keep the layer.
    sandbox.sampan(["builder", "prune", "-af"]).ok();
    sandbox.sampan(["tag", "app", "app:other"]).ok();
    sandbox.sampan(["create", "--name", "user", "busybox"]).ok();
    let pruned = sandbox.sampan(["image", "prune", "--all", "--force"]).ok();
    let expected =
        format!("Deleted Images:\nuntagged: app:latest\nuntagged: app:other\ndeleted: {id}\ndeleted: ");
    assert!(pruned.stdout.starts_with(&expected), "{pruned}");
    sandbox.sampan(["images", "--format", "{{.Repository}}"]).ok().prints("busybox\n");
    sandbox.sampan(["start", "user"]).ok();
    sandbox.sampan(["rm", "-f", "user"]).ok();
    sandbox.sampan(["image", "prune", "-af"]).ok().says("untagged: busybox:latest\n");
    sandbox.sampan(["images", "-q"]).ok().prints("");
}

#[test]
fn only_what_a_filter_means_goes() {
    let Some(sandbox) = sandbox() else { return };
    build(&sandbox, "app");
    let prune = |filter: &str| sandbox.sampan(["image", "prune", "-af", "--filter", filter]);
    prune("label=nobody.has=it").ok().prints("Total reclaimed space: 0B\n");
    prune("until=2020-01-01").ok().prints("Total reclaimed space: 0B\n");
    prune("until=24h").ok().says("untagged: busybox:latest\n");
    sandbox.sampan(["images", "--format", "{{.Repository}}"]).ok().prints("app\n");
    prune("label!=nobody.has=it").ok().says("untagged: app:latest\n");
    prune("reference=x").fails(1).complains("invalid filter 'reference'");
    prune("until=whenever").fails(1).complains("failed to parse value as time or duration: \"whenever\"");
}

#[test]
fn it_is_asked_first_and_no_answer_is_a_no() {
    let Some(sandbox) = sandbox() else { return };
    let question = "Are you sure you want to continue? [y/N] ";
    let dangling = format!("WARNING! This will remove all dangling images.\n{question}");
    let all = format!(
        "WARNING! This will remove all images without at least one container associated to them.\n{question}"
    );
    let answered = |answer: &str, arguments: &str| {
        sandbox.start(sandbox.shell(&format!("{answer} | $SAMPAN image prune {arguments}"))).finish().ok()
    };
    answered("echo n", "").prints(&dangling);
    answered("true", "-a").prints(&all);
    sandbox.sampan(["images", "--format", "{{.Repository}}"]).ok().prints("busybox\n");
    answered("echo y", "-a").says(&format!("{all}Deleted Images:\nuntagged: busybox:latest\n"));
    sandbox.sampan(["images", "-q"]).ok().prints("");
}
