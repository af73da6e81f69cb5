//! `image verify`: what is damaged on the disk is found, and mended where it can be.

use std::{
    fs,
    path::{Path, PathBuf},
};

use testkit::{Registry, Sandbox};

use crate::{push::image, sandbox};

#[test]
fn a_sound_store_is_said_to_be_sound() {
    let Some(sandbox) = sandbox() else { return };
    let verified = sandbox.sampan(["image", "verify"]).ok();
    assert!(verified.stdout.ends_with("blobs and layers: all are sound\n"), "{verified}");
}

#[test]
fn a_damaged_blob_and_a_damaged_layer_are_named_and_come_back_from_the_registry() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = image(&sandbox, &registry.host(), "hello");
    sandbox.sampan(["push", &name]).ok();
    sandbox.sampan(["image", "prune", "--all", "--force"]).ok();
    sandbox.sampan(["pull", &name]).ok();

    let layer = largest(&sandbox.root().join("blobs/sha256"));
    let digest = layer.file_name().unwrap().to_str().unwrap().to_owned();
    damage(&layer);
    let found = sandbox.sampan(["image", "verify"]).fails(1);
    let expected = format!("blob sha256:{digest} is damaged (needed by {name}:latest)\n");
    assert!(found.stdout.starts_with(&expected), "{found}");
    assert!(found.stderr.contains("hint: `sampan image verify --repair`"), "{found}");
    sandbox.sampan(["run", "--rm", &name]).ok().prints("7\n");
    let repaired = sandbox.sampan(["image", "verify", "--repair"]).ok();
    assert!(repaired.stdout.contains("  repaired\n"), "{repaired}");

    let file = find(&sandbox, "data/7");
    fs::write(&file, "8\n").unwrap();
    let repaired = sandbox.sampan(["image", "verify", "--repair"]).ok();
    assert!(repaired.stdout.contains(" is damaged (needed by "), "{repaired}");
    sandbox.sampan(["run", "--rm", &name]).ok().prints("7\n");
    sandbox.sampan(["image", "verify", "--quiet"]).ok().prints("");
}

#[test]
fn what_only_a_build_made_cannot_be_repaired_and_is_said_so() {
    let Some(sandbox) = sandbox() else { return };
    let name = image(&sandbox, "localhost", "hello");
    fs::write(find(&sandbox, "data/7"), "8\n").unwrap();
    let found = sandbox.sampan(["image", "verify", "--repair"]).fails(1);
    assert!(found.stdout.contains("cannot be repaired: build it"), "{found}");
    sandbox.sampan(["rmi", &name]).ok();
    sandbox.sampan(["image", "verify"]).ok();
    image(&sandbox, "localhost", "hello");
    sandbox.sampan(["run", "--rm", &name]).ok().prints("7\n");
}

fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

fn largest(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap());
    files.max_by_key(|file| file.metadata().unwrap().len()).unwrap().path()
}

/// Where some layer has a file.
pub fn find(sandbox: &Sandbox, path: &str) -> PathBuf {
    let layers = fs::read_dir(sandbox.root().join("layers")).unwrap();
    let mut files = layers.map(|layer| layer.unwrap().path().join("tree").join(path));
    files.find(|file| file.exists()).unwrap()
}
