use std::{os::unix::fs::PermissionsExt, path::Path, time::SystemTime};

use super::*;
use crate::{
    Image, Layer, Repair,
    manifest::OCI_LAYER_GZIP,
    store::{
        collect::names,
        tests::{Sandbox, image_of, sandbox},
    },
    tarball::tests::Raw,
};

fn verify(sandbox: &Sandbox, images: &[&Image]) -> Vec<Finding> {
    let manifests: Vec<Digest> = images.iter().map(|image| image.manifest).collect();
    let mut told = Vec::new();
    let findings = sandbox
        .store
        .verify(&manifests, |verified| {
            told.push((verified.done, verified.total, verified.finding.cloned()));
        })
        .unwrap();
    assert!(told.iter().all(|(_, total, _)| *total == told.len()), "each is told once");
    assert_eq!(told.iter().filter(|(_, _, finding)| finding.is_some()).count(), findings.len());
    findings
}

fn faults(findings: &[Finding]) -> Vec<(Subject, Fault)> {
    findings.iter().map(|finding| (finding.subject, finding.fault)).collect()
}

/// Two layers that pack to other bytes than they came as, the second with a directory it does not describe.
fn foreign(lease: &Lease) -> Image {
    let lower = Raw::default()
        .with("home/", tar::EntryType::Directory, b"", |header| header.set_mode(0o700))
        .file("z", b"first")
        .file("a", b"not sorted")
        .end();
    image_of(lease, &[lower, Raw::default().file("home/file", b"x").file("a", b"y").end()])
}

/// Writes a file as of a certain time.
fn write(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
}

/// A layer that was made here.
fn built(sandbox: &Sandbox, lease: &Lease) -> Image {
    let upper = sandbox.top.path().join("upper");
    fs::create_dir(&upper).unwrap();
    write(&upper.join("file"), "built");
    let layer = lease.commit_layer(&upper).unwrap();
    lease.write_image(Default::default(), &[layer]).unwrap()
}

fn tree(sandbox: &Sandbox, image: &Image, layer: usize) -> std::path::PathBuf {
    sandbox.store.layer_directories(image).unwrap()[image.layers.len() - 1 - layer].clone()
}

fn layer_of(sandbox: &Sandbox, image: &Image, layer: usize) -> Subject {
    let tree = tree(sandbox, image, layer);
    let key = tree.parent().unwrap().file_name().unwrap().to_str().unwrap();
    Subject::Layer { diff_id: image.layers[layer].diff_id, key: Digest::from_hex(key).unwrap() }
}

#[test]
fn what_is_well_is_found_well() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let images = [foreign(&lease), built(&sandbox, &lease)];
    assert_eq!(verify(&sandbox, &[&images[0], &images[1]]), []);
    assert_eq!(verify(&sandbox, &[]), [], "layers and blobs that no image needs are looked at too");
}

#[test]
fn damaged_and_missing_blobs_are_found_with_those_who_need_them() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let image = foreign(&lease);
    let blobs = [image.layers[0].blob.digest, image.layers[1].blob.digest];
    fs::write(sandbox.store.blob_path(&blobs[0]), "something else").unwrap();
    fs::remove_file(sandbox.store.blob_path(&blobs[1])).unwrap();
    let findings = verify(&sandbox, &[&image]);
    let mut expected =
        vec![(Subject::Blob(blobs[0]), Fault::Damaged), (Subject::Blob(blobs[1]), Fault::Missing)];
    expected.sort_by_key(|(subject, _)| *subject);
    assert_eq!(faults(&findings), expected);
    assert!(findings.iter().all(|finding| finding.manifests == [image.manifest]));
    for finding in &findings {
        let Subject::Blob(digest) = finding.subject else { unreachable!() };
        let blob = finding.blob.clone().unwrap();
        assert_eq!(blob.digest, digest);
        assert_eq!(lease.repair(finding).unwrap(), Repair::Fetch(Box::new(blob.clone())));
        assert!(lease.download(&blob).unwrap().is_some(), "it can be downloaded");
    }
    fs::write(sandbox.store.blob_path(&image.manifest), "{").unwrap();
    let findings = verify(&sandbox, &[&image]);
    assert_eq!(faults(&findings)[..1], [(Subject::Manifest(image.manifest), Fault::Damaged)]);
    assert_eq!(lease.repair(&findings[0]).unwrap(), Repair::FetchManifest(image.manifest));
    assert!(!sandbox.store.has_blob(&image.manifest).unwrap());
}

#[test]
fn damaged_layers_are_found_and_replaced_from_their_blobs() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let image = foreign(&lease);
    let trees = [tree(&sandbox, &image, 0), tree(&sandbox, &image, 1)];
    let running = Root::open(&trees[0], Links::Refused).unwrap();
    fs::write(trees[0].join("a"), "changed").unwrap();
    fs::set_permissions(trees[1].join("home"), fs::Permissions::from_mode(0o777)).unwrap();
    let findings = verify(&sandbox, &[&image]);
    let expected = [0, 1].map(|layer| (layer_of(&sandbox, &image, layer), Fault::Damaged));
    assert_eq!(faults(&findings), expected, "lower ones first");
    for finding in &findings {
        assert_eq!(lease.repair(finding).unwrap(), Repair::Done);
    }
    drop(lease);
    assert_eq!(verify(&sandbox, &[&image]), []);
    assert_eq!(fs::read(trees[0].join("a")).unwrap(), b"not sorted");
    assert_eq!(fs::metadata(trees[1].join("home")).unwrap().permissions().mode() & 0o777, 0o700);
    let live = || Ok::<_, StoreError>(crate::Live { manifests: vec![image.manifest], ..Default::default() });
    sandbox.store.collect(live).unwrap();
    assert!(running.file(Path::new("a")).is_ok(), "who stands on the old one keeps it");
    let replaced = names(&sandbox.store.replaced()).unwrap();
    assert_eq!(replaced.len(), 2);
    let of_another_boot = sandbox.store.replaced().join(format!("before.{}", replaced[0]));
    fs::rename(sandbox.store.replaced().join(&replaced[0]), of_another_boot).unwrap();
    assert!(sandbox.store.collect(live).unwrap().bytes > 0);
    assert_eq!(names(&sandbox.store.replaced()).unwrap(), replaced[1..]);
}

#[test]
fn missing_layers_and_records_are_made_again() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let image = foreign(&lease);
    let built = built(&sandbox, &lease);
    let trees = [tree(&sandbox, &image, 0), tree(&sandbox, &image, 1), tree(&sandbox, &built, 0)];
    for tree in &trees[..2] {
        fs::remove_dir_all(tree.parent().unwrap()).unwrap();
    }
    fs::write(trees[2].with_file_name("layer.json"), "{").unwrap();
    let findings = verify(&sandbox, &[&image, &built]);
    let mut found: Vec<Fault> = findings.iter().map(|finding| finding.fault).collect();
    found.sort_by_key(|fault| *fault == Fault::Missing);
    assert_eq!(found, [Fault::Record, Fault::Missing, Fault::Missing]);
    for finding in &findings {
        assert_eq!(lease.repair(finding).unwrap(), Repair::Done, "{finding:?}");
    }
    assert_eq!(verify(&sandbox, &[&image, &built]), []);
    assert!(trees.iter().all(|tree| tree.exists()));
}

#[test]
fn a_layer_that_was_made_here_can_be_had_from_where_it_was_sent() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let image = built(&sandbox, &lease);
    let tree = tree(&sandbox, &image, 0);
    write(&tree.join("file"), "BUILT");
    let findings = verify(&sandbox, &[&image]);
    assert_eq!(faults(&findings), [(layer_of(&sandbox, &image, 0), Fault::Damaged)]);
    assert_eq!(lease.repair(&findings[0]).unwrap(), Repair::Impossible);
    write(&tree.join("file"), "built");
    assert_eq!(verify(&sandbox, &[&image]), []);
    let blob = lease.compress(&image.layers[0], &|_| ()).unwrap();
    write(&tree.join("file"), "BUILT");
    let findings = verify(&sandbox, &[&image]);
    let bytes = fs::read(sandbox.store.blob_path(&blob.digest)).unwrap();
    fs::remove_file(sandbox.store.blob_path(&blob.digest)).unwrap();
    assert_eq!(lease.repair(&findings[0]).unwrap(), Repair::Fetch(Box::new(blob.clone())));
    assert_eq!(blob.media_type, OCI_LAYER_GZIP);
    let download = lease.download(&blob).unwrap().unwrap();
    lease.finish_download(download, &blob, |_| Ok(bytes.as_slice())).unwrap();
    assert_eq!(lease.repair(&findings[0]).unwrap(), Repair::Done);
    assert_eq!(verify(&sandbox, &[&image]), []);
    // The other way round: the blob from the layer.
    fs::write(sandbox.store.blob_path(&blob.digest), "x").unwrap();
    let pushed = Layer { blob, ..image.layers[0].clone() };
    let pushed = lease.write_image(Default::default(), &[pushed]).unwrap();
    let findings = verify(&sandbox, &[&pushed]);
    assert_eq!(findings.len(), 1);
    assert_eq!(lease.repair(&findings[0]).unwrap(), Repair::Done);
    assert_eq!(verify(&sandbox, &[&pushed]), []);
}
