//! `rmi`: removing names, and images with their last name.

use crate::{idle, inspect, sandbox};

#[test]
fn the_last_name_takes_the_image_with_it() {
    let Some(sandbox) = sandbox() else { return };
    let id = inspect(&sandbox, "busybox", "{{.Id}}");
    sandbox.sampan(["tag", "busybox", "other"]).ok();
    sandbox.sampan(["rmi", "busybox"]).ok().prints("Untagged: busybox:latest\n");
    sandbox.sampan(["rmi", "other"]).ok().says("Untagged: other:latest\n").says(&format!("Deleted: {id}\n"));
    sandbox.sampan(["images", "-q"]).ok().prints("");
    let layers = std::fs::read_dir(sandbox.root().join("layers")).unwrap().count();
    let blobs = std::fs::read_dir(sandbox.root().join("blobs/sha256")).unwrap().count();
    assert_eq!((layers, blobs), (0, 0));
    sandbox.sampan(["rmi", "busybox"]).fails(1).complains("No such image: busybox:latest");
}

#[test]
fn all_images_are_removed_by_the_ids_that_images_prints() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.start(sandbox.shell("$SAMPAN rmi $($SAMPAN images -q)")).finish().ok();
    sandbox.sampan(["images", "-q"]).ok().prints("");
}

#[test]
fn an_image_in_use_stays() {
    let Some(sandbox) = sandbox() else { return };
    let container = idle(&sandbox, &["--name", "user"]);
    let id = sandbox.sampan(["images", "-q"]).ok().word().to_owned();
    let refusal = format!("(must force) - container {} is using its referenced image {id}", &container[..12]);
    sandbox.sampan(["rmi", "busybox"]).fails(1).complains(&refusal);
    sandbox.sampan(["rmi", "-f", &id]).fails(1).complains("cannot be forced").complains(&container[..12]);
    sandbox.sampan(["exec", "user", "echo", "unharmed"]).ok().prints("unharmed\n");
    sandbox.sampan(["rm", "-f", "user"]).ok();
    sandbox.sampan(["rmi", "busybox"]).ok();
}

#[test]
fn an_id_with_several_names_needs_force() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["tag", "busybox", "other"]).ok();
    let id = sandbox.sampan(["images", "-q", "other"]).ok().word().to_owned();
    sandbox.sampan(["rmi", &id]).fails(1).complains("must be forced");
    sandbox
        .sampan(["rmi", "-f", &id])
        .ok()
        .says("Untagged: busybox:latest\n")
        .says("Untagged: other:latest\n");
    sandbox.sampan(["images", "-q"]).ok().prints("");
}

#[test]
fn by_force_a_running_container_loses_only_the_name_of_its_image() {
    let Some(sandbox) = sandbox() else { return };
    let id = inspect(&sandbox, "busybox", "{{.Id}}");
    idle(&sandbox, &["--name", "user"]);
    sandbox.sampan(["rmi", "--force", "busybox"]).ok().prints("Untagged: busybox:latest\n");
    sandbox.sampan(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok().prints("<none>:<none>\n");
    sandbox.sampan(["exec", "user", "echo", "unharmed"]).ok().prints("unharmed\n");
    sandbox.sampan(["rm", "-f", "user"]).ok();
    sandbox.sampan(["rmi", "--no-prune", &id]).ok().says(&format!("Deleted: {id}\n"));
    sandbox.sampan(["images", "-q"]).ok().prints("");
}

#[test]
fn by_force_a_stopped_container_keeps_what_it_needs_of_its_image() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["create", "--name", "user", "busybox", "echo", "unharmed"]).ok();
    sandbox.sampan(["rmi", "busybox"]).fails(1).complains("(must force)");
    sandbox.sampan(["rmi", "-f", "busybox"]).ok().says("Untagged: busybox:latest\n").says("Deleted: sha256:");
    sandbox.sampan(["images", "-q"]).ok().prints("");
    sandbox.sampan(["start", "--attach", "user"]).ok().prints("unharmed\n");
    sandbox.sampan(["rm", "user"]).ok();
    sandbox.sampan(["image", "prune", "-f"]).ok().says("deleted: sha256:");
    assert_eq!(std::fs::read_dir(sandbox.root().join("layers")).unwrap().count(), 0);
}
