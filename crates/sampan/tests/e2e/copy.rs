//! `copy`, `manifest inspect` and `search`: images in registries, without pulling them.

use testkit::Registry;

use crate::{
    push::{image, inspect_manifest},
    sandbox,
};

#[test]
fn an_image_is_copied_with_its_digest_and_nothing_comes_here() {
    let Some(sandbox) = sandbox() else { return };
    let (one, two) = (Registry::start(&sandbox, &[]), Registry::start(&sandbox, &[]));
    let name = image(&sandbox, &one.host(), "hello:v1");
    sandbox.sampan(["push", &name]).ok();
    sandbox.sampan(["rmi", &name]).ok();
    let there = format!("{}/mirror/hello:v1", two.host());
    let copied = sandbox.sampan(["copy", &name, &there]).ok();
    assert_eq!(copied.stdout.matches(": Copied\n").count(), 3, "{copied}");
    let again = sandbox.sampan(["copy", &name, &there]).ok();
    assert_eq!(again.stdout.matches(": Already exists\n").count(), 3, "{again}");
    let beside = format!("{}/beside", two.host());
    let mounted = sandbox.sampan(["copy", &there, &beside]).ok();
    assert_eq!(mounted.stdout.matches(": Mounted\n").count(), 3, "{mounted}");
    assert_eq!(inspect_manifest(&sandbox, &name), inspect_manifest(&sandbox, &beside));
    let remote = ["image", "inspect", "--remote", "--format", "{{.Id}} {{.Config.Cmd}} {{len .Layers}}"];
    let remote = sandbox.sampan(remote.into_iter().chain([there.as_str()])).ok();
    assert_eq!(remote.word().split_once(' ').unwrap().1, "[cat /data/7] 2", "{remote}");
    sandbox.sampan(["images", "-q", &there]).ok().prints("");
    sandbox.sampan(["run", "--rm", &beside]).ok().prints("7\n");
}

#[test]
fn a_registry_is_searched_by_its_names() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    for name in ["me/hello", "me/other", "you/hello-world"] {
        let name = format!("{}/{name}", registry.host());
        sandbox.sampan(["tag", "busybox", &name]).ok();
        sandbox.sampan(["push", "-q", &name]).ok();
    }
    let term = format!("{}/hello", registry.host());
    sandbox.sampan(["search", "--format", "{{.Name}}", &term]).ok().prints("me/hello\nyou/hello-world\n");
    sandbox.sampan(["search", "-f", "colour=red", &term]).fails(1).complains("invalid filter 'colour'");
}

#[test]
fn a_manifest_is_shown_with_what_it_names() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = format!("{}/busybox:1", registry.host());
    sandbox.sampan(["tag", "busybox", &name]).ok();
    sandbox.sampan(["push", &name]).ok();
    let manifest = inspect_manifest(&sandbox, &name);
    assert_eq!(manifest["schemaVersion"], 2);
    let detail = sandbox.sampan(["manifest", "inspect", "--verbose", &name]).ok();
    let detail: serde_json::Value = serde_json::from_str(&detail.stdout).unwrap();
    assert_eq!(detail["OCIManifest"], manifest);
    assert!(detail["Ref"].as_str().unwrap().starts_with(&name), "{detail}");
    let missing = format!("{}/busybox:2", registry.host());
    sandbox.sampan(["manifest", "inspect", &missing]).fails(1).complains("not found");
}
