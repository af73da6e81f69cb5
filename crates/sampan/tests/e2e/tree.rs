//! `image tree`: images on what they begin with.

use serde_json::Value;

use crate::{history::build, sandbox};

#[test]
fn an_image_stands_on_the_one_it_was_made_of() {
    let Some(sandbox) = sandbox() else { return };
    let id = build(&sandbox, "app");
    let short = &id["sha256:".len()..][..12];
    let tree = sandbox.sampan(["image", "tree"]).ok();
    let lines = tree.lines();
    assert!(lines[0].starts_with("IMAGE"), "{tree}");
    assert!(lines[1].starts_with("busybox:latest "), "{tree}");
    assert!(lines[2].starts_with("│  · "), "{tree}");
    assert!(lines[3].starts_with("└─ app:latest ") && lines[3].contains(short), "{tree}");
    assert!(lines[3].contains(" +1kB"), "{tree}");
    assert!(lines[4].starts_with("      · ") && lines[4].contains("COPY data"), "{tree}");
    assert!(lines[6].starts_with("2 images, 2 layers: "), "{tree}");
    assert!(lines[6].ends_with("MB saved by sharing"), "{tree}");
    let names: Vec<String> = ["image tree -q", "images --tree"]
        .iter()
        .map(|words| sandbox.sampan(words.split(' ')).ok().stdout)
        .collect();
    assert_eq!(names[0], names[1]);
    assert_eq!(names[0].lines().count(), 5, "{}", names[0]);
    sandbox.sampan(["image", "tree", "app"]).ok().says("app:latest ");
    sandbox.sampan(["image", "tree", "nosuch"]).fails(1).complains("No such image: nosuch:latest");
}

#[test]
fn the_tree_is_one_document() {
    let Some(sandbox) = sandbox() else { return };
    let id = build(&sandbox, "app");
    let printed = sandbox.sampan(["image", "tree", "--format", "json"]).ok();
    let tree: Value = serde_json::from_str(&printed.stdout).unwrap();
    let (base, app) = (&tree[0], &tree[0]["Children"][0]);
    assert_eq!(base["RepoTags"][0], "busybox:latest");
    assert_eq!((&app["ID"], &app["Added"]), (&id.into(), &1000.into()));
    assert_eq!(app["Size"].as_u64().unwrap(), base["Size"].as_u64().unwrap() + 1000);
}
