//! The digests by which registries know images: shown, and as names.

use serde_json::Value;
use testkit::Registry;

use crate::{history::build, sandbox};

#[test]
fn a_digest_is_shown_with_every_tag_of_its_repository_and_goes_with_the_last() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let repository = format!("{}/me/app", registry.host());
    let (one, two) = (format!("{repository}:1"), format!("{repository}:2"));
    let id = build(&sandbox, &one);
    sandbox.sampan(["tag", &one, &two]).ok();
    sandbox.sampan(["tag", &one, "app"]).ok();
    let pushed = sandbox.sampan(["push", &one]).ok();
    let digest = pushed.lines().last().unwrap().split(' ').nth(2).unwrap().to_owned();
    let name = format!("{repository}@{digest}");

    let listed =
        sandbox.sampan(["images", "--digests", "--format", "{{.Repository}}:{{.Tag}} {{.Digest}}"]).ok();
    for line in [format!("{one} {digest}"), format!("{two} {digest}"), "app:latest <none>".to_owned()] {
        assert!(listed.lines().contains(&line.as_str()), "{line} in\n{listed}");
    }
    let table = sandbox.sampan(["images", "--digests", &repository]).ok();
    let columns: Vec<&str> =
        table.lines()[0].split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(columns, ["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"]);
    assert_eq!(table.lines().len(), 3, "{table}");
    let document = sandbox.sampan(["image", "inspect", "app"]).ok();
    let document: Value = serde_json::from_str(&document.stdout).unwrap();
    assert_eq!(document[0]["RepoDigests"], Value::from(vec![name.clone()]));
    assert_eq!(document[0]["RepoTags"].as_array().map(Vec::len), Some(3));

    sandbox.sampan(["rmi", &one]).ok().prints(&format!("Untagged: {one}\n"));
    sandbox.sampan(["rmi", &two]).ok().prints(&format!("Untagged: {two}\nUntagged: {name}\n"));
    sandbox.sampan(["rmi", &name]).fails(1).complains(&format!("No such image: {name}"));
    sandbox.sampan(["rmi", "app"]).ok().says(&format!("Untagged: app:latest\nDeleted: {id}\n"));
}

#[test]
fn an_image_can_have_a_digest_for_its_only_name() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let repository = format!("{}/me/app", registry.host());
    let tag = format!("{repository}:1");
    let id = build(&sandbox, &tag);
    let pushed = sandbox.sampan(["push", &tag]).ok();
    let digest = pushed.lines().last().unwrap().split(' ').nth(2).unwrap().to_owned();
    let name = format!("{repository}@{digest}");
    sandbox.sampan(["rmi", &tag]).ok().says(&format!("Untagged: {tag}\nUntagged: {name}\nDeleted: {id}\n"));

    sandbox.sampan(["pull", "-q", &name]).ok();
    let format = "{{.Repository}} {{.Tag}}";
    let listed = sandbox.sampan(["images", "--format", format]).ok();
    listed.says(&format!("{repository} <none>\n"));
    sandbox.sampan(["images", "-q", "--filter", "dangling=true"]).ok().prints("");
    sandbox.sampan(["run", "--rm", "--pull", "never", &name, "true"]).ok();
    sandbox.sampan(["tag", &name, "again"]).ok();
    sandbox.sampan(["rmi", &name]).ok().prints(&format!("Untagged: {name}\n"));
    sandbox.sampan(["rmi", "again"]).ok().says(&format!("Deleted: {id}\n"));

    sandbox.sampan(["pull", "-q", &name]).ok();
    let pruned = sandbox.sampan(["image", "prune", "-f"]).ok();
    let expected = format!("Deleted Images:\nuntagged: {name}\ndeleted: {id}\n");
    assert!(pruned.stdout.starts_with(&expected), "{pruned}");
}

#[test]
fn pulling_back_what_was_pushed_leaves_one_image_and_no_nameless_one() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let tag = format!("{}/me/app:1", registry.host());
    let id = build(&sandbox, &tag);
    sandbox.sampan(["tag", &tag, "app"]).ok();
    sandbox.sampan(["push", "-q", &tag]).ok();
    sandbox.sampan(["pull", &tag]).ok().says(&format!("Status: Image is up to date for {tag}\n"));
    sandbox.sampan(["rmi", &tag]).ok();
    // Its layers are compressed there and plain here: another manifest, the same image.
    sandbox.sampan(["pull", "-q", &tag]).ok();
    let listed = sandbox.sampan(["images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}"]).ok();
    assert_eq!(listed.lines().iter().filter(|line| line.starts_with(&id)).count(), 2, "{listed}");
    assert!(!listed.stdout.contains("<none>"), "{listed}");
    sandbox.sampan(["rmi", "-f", &id["sha256:".len()..]]).ok().says("Untagged: app:latest\n");
    sandbox.sampan(["images", "--format", "{{.Repository}}"]).ok().prints("busybox\n");
}
