use std::{
    fs,
    os::unix::fs::MetadataExt,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::{
    config::Configuration,
    manifest::{OCI_LAYER, OCI_LAYER_GZIP},
    tarball::tests::Raw,
};

pub struct Sandbox {
    pub top: tempfile::TempDir,
    pub store: Store,
}

/// None, and why is printed, where layers cannot be unpacked as they are.
pub fn sandbox() -> Option<Sandbox> {
    if !crate::layer::tests::privileged() {
        return None;
    }
    let top = tempfile::tempdir().unwrap();
    let store = Store::open(&top.path().join("root")).unwrap();
    Some(Sandbox { top, store })
}

/// Adds an image of these plain archives.
pub fn image_of(lease: &Lease, archives: &[Vec<u8>]) -> Image {
    let diff_ids: Vec<Digest> = archives.iter().map(|archive| Digest::of(archive)).collect();
    let mut layers = Vec::new();
    let mut staged = Vec::new();
    for (archive, diff_id) in archives.iter().zip(&diff_ids) {
        let blob = Descriptor::new(OCI_LAYER, *diff_id, archive.len() as u64);
        staged.push(lease.unpack(archive.as_slice(), Some((&blob, *diff_id))).unwrap());
        layers.push(Layer { diff_id: *diff_id, blob });
    }
    lease.place(&diff_ids, staged).unwrap();
    lease.write_image(Configuration::default(), &layers).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn collect(store: &Store, live: Live) -> Freed {
    store.collect(|| Ok::<_, StoreError>(live)).unwrap()
}

#[test]
fn an_image_is_read_as_it_was_written() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let lower = Raw::default().file("a", b"12345").end();
    let upper = Raw::default().file("b", b"678").end();
    let image = image_of(&lease, &[lower, upper.clone()]);
    drop(lease);
    assert_eq!(sandbox.store.image(&image.manifest).unwrap(), image);
    assert_eq!(sandbox.store.size(&image).unwrap(), 8);
    assert_eq!(sandbox.store.layer_sizes(&image).unwrap(), [5, 3]);
    let directories = sandbox.store.layer_directories(&image).unwrap();
    assert_eq!(names(&directories[0]), ["b"], "topmost first");
    let root = fs::metadata(&directories[0]).unwrap();
    assert_eq!(root.mode() & 0o7777, 0o755, "users of a container may enter its root");
    let mut bytes = Vec::new();
    sandbox.store.copy_layer(&image.layers[1], &mut bytes).unwrap();
    assert_eq!(bytes, upper);
    assert_eq!(names(&sandbox.store.leases()), ["gate"], "nothing is left of the work");
}

#[test]
fn what_is_not_what_was_announced_never_shows() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let archive = Raw::default().file("a", b"x").end();
    let digest = Digest::of(&archive);
    let size = archive.len() as u64;
    let other = Digest::of(b"");
    let unpack = |blob: Digest, size, diff_id| {
        let blob = Descriptor::new(OCI_LAYER, blob, size);
        lease.unpack(archive.as_slice(), Some((&blob, diff_id))).map(drop).unwrap_err()
    };
    assert!(matches!(unpack(other, size, digest), StoreError::Damaged { expected, .. } if expected == other));
    assert!(
        matches!(unpack(digest, size, other), StoreError::DamagedLayer { expected, .. } if expected == other)
    );
    assert!(matches!(unpack(digest, size + 1, digest), StoreError::WrongSize { .. }));
    assert!(matches!(unpack(digest, size - 1, digest), StoreError::Unpack { .. }));
    let blob = Descriptor::new(OCI_LAYER, other, size);
    assert!(matches!(lease.add_blob(archive.as_slice(), &blob), Err(StoreError::Damaged { .. })));
    assert!(names(&sandbox.store.blobs()).is_empty() && names(&sandbox.store.layers()).is_empty());
}

#[test]
fn a_damaged_blob_is_reported_by_its_digest() {
    let Some(sandbox) = sandbox() else { return };
    let image = image_of(&sandbox.store.lease().unwrap(), &[]);
    fs::write(sandbox.store.blob_path(&image.id), "{}").unwrap();
    assert!(matches!(
        sandbox.store.image(&image.manifest),
        Err(StoreError::Damaged { expected, .. }) if expected == image.id
    ));
    fs::remove_file(sandbox.store.blob_path(&image.id)).unwrap();
    assert!(matches!(sandbox.store.image(&image.manifest), Err(StoreError::NoBlob(id)) if id == image.id));
}

#[test]
fn a_layer_without_its_parents_is_kept_per_stack() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let with_mode = |mode| {
        Raw::default()
            .with("home/", tar::EntryType::Directory, b"", move |header| header.set_mode(mode))
            .end()
    };
    let incomplete = Raw::default().file("home/file", b"").end();
    let strict = image_of(&lease, &[with_mode(0o700), incomplete.clone()]);
    let open = image_of(&lease, &[with_mode(0o777), incomplete.clone()]);
    let alone = image_of(&lease, &[incomplete]);
    for (image, mode) in [(strict, 0o700), (open, 0o777), (alone, 0o755)] {
        let top = &sandbox.store.layer_directories(&image).unwrap()[0];
        assert_eq!(fs::metadata(top.join("home")).unwrap().mode() & 0o777, mode);
        assert!(top.join("home/file").exists());
    }
}

#[test]
fn a_committed_layer_needs_no_blob_and_is_the_same_each_time() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let commit = || {
        let upper = sandbox.store.root.join("upper");
        fs::create_dir_all(upper.join("d")).unwrap();
        fs::write(upper.join("d/file"), "content").unwrap();
        for path in ["d/file", "d"] {
            let path = upper.join(path);
            crate::tree::touch_child(
                rustix::fs::CWD,
                &path,
                crate::tarball::Time { seconds: 5, nanoseconds: 1 },
            )
            .unwrap();
        }
        lease.commit_layer(&upper).unwrap()
    };
    let layer = commit();
    assert_eq!(commit(), layer);
    let image = lease.write_image(Configuration::default(), std::slice::from_ref(&layer)).unwrap();
    assert!(!sandbox.store.has_blob(&layer.diff_id).unwrap());
    assert_eq!(sandbox.store.size(&image).unwrap(), 7);
    let mut archive = Vec::new();
    sandbox.store.copy_layer(&layer, &mut archive).unwrap();
    assert_eq!((Digest::of(&archive), archive.len() as u64), (layer.diff_id, layer.blob.size));
}

#[test]
fn compressed_layers_keep_their_blobs() {
    use std::io::Write;
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let archive = Raw::default().file("a", b"x").end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive).unwrap();
    let gzip = gzip.finish().unwrap();
    let diff_id = Digest::of(&archive);
    let blob = Descriptor::new(OCI_LAYER_GZIP, Digest::of(&gzip), gzip.len() as u64);
    assert_eq!(lease.hold(&blob, &[diff_id]).unwrap(), Held { blob: false, tree: false });
    let staged = lease.unpack(gzip.as_slice(), Some((&blob, diff_id))).unwrap();
    lease.place(&[diff_id], vec![staged]).unwrap();
    assert_eq!(lease.hold(&blob, &[diff_id]).unwrap(), Held { blob: true, tree: true });
    assert_eq!(fs::read(sandbox.store.blob_path(&blob.digest)).unwrap(), gzip);
    let plain = Descriptor::new(OCI_LAYER, diff_id, archive.len() as u64);
    assert_eq!(lease.hold(&plain, &[diff_id]).unwrap(), Held { blob: false, tree: true });
}

#[test]
fn only_what_nothing_needs_is_collected() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let shared = Raw::default().directory("d/").file("d/shared", b"1").end();
    let own = Raw::default().file("d/own", b"22").end();
    let base = image_of(&lease, std::slice::from_ref(&shared));
    let derived = image_of(&lease, &[shared, own]);
    let live = Live { manifests: vec![base.manifest], ..Live::default() };
    assert_eq!(collect(&sandbox.store, live.clone()), Freed::default(), "a lease claims all");
    drop(lease);
    let both = Live { manifests: vec![base.manifest, derived.manifest], ..Live::default() };
    assert_eq!(collect(&sandbox.store, both), Freed::default());
    let freed = collect(&sandbox.store, live);
    assert_eq!(freed.layers, [derived.layers[1].diff_id]);
    assert!(freed.blobs.contains(&derived.id) && freed.blobs.contains(&derived.manifest));
    assert_eq!(freed.blobs.len(), 3);
    assert!(sandbox.store.layer_directories(&base).is_ok());
    let layers = vec![base.layers[0].diff_id];
    collect(&sandbox.store, Live { layers, ..Live::default() });
    assert_eq!(names(&sandbox.store.layers()), [base.layers[0].diff_id.hex()], "a build's cache keeps it");
    collect(&sandbox.store, Live::default());
    assert!(names(&sandbox.store.layers()).is_empty() && names(&sandbox.store.blobs()).is_empty());
}

#[test]
fn what_a_dead_command_left_is_cleared_up() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let dead = sandbox.store.leases().join("dead");
    fs::create_dir_all(dead.join("7/tree/d")).unwrap();
    fs::write(dead.join("claims"), "").unwrap();
    collect(&sandbox.store, Live::default());
    assert!(!dead.exists());
    assert!(lease.put_blob(b"{}").is_ok(), "a living one is left alone");
}

#[test]
fn nothing_is_lost_between_adding_and_collecting_at_once() {
    let Some(sandbox) = sandbox() else { return };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                collect(&sandbox.store, Live::default());
            }
        });
        let archive = Raw::default().directory("d/").file("d/file", b"x").end();
        for _ in 0..50 {
            let lease = sandbox.store.lease().unwrap();
            let image = image_of(&lease, std::slice::from_ref(&archive));
            let directory = &sandbox.store.layer_directories(&image).unwrap()[0];
            assert!(directory.join("d/file").exists());
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_index_names_images_as_other_tools_expect() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let image = image_of(&lease, &[]);
    let name: types::Reference = "busybox:1".parse().unwrap();
    sandbox.store.write_index([(name, image.manifest)]).unwrap();
    let text = fs::read_to_string(sandbox.store.root.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&text).unwrap();
    let annotations = &index["manifests"][0]["annotations"];
    assert_eq!(annotations["io.containerd.image.name"], "docker.io/library/busybox:1");
    assert_eq!(annotations["org.opencontainers.image.ref.name"], "docker.io/library/busybox:1");
    assert_eq!(index["manifests"][0]["digest"], image.manifest.to_string());
}

#[test]
fn the_index_names_only_what_is_all_there() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let upper = sandbox.top.path().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::write(upper.join("file"), "built").unwrap();
    let layer = lease.commit_layer(&upper).unwrap();
    let built = lease.write_image(Configuration::default(), std::slice::from_ref(&layer)).unwrap();
    let blob = lease.compress(&layer, &|_| ()).unwrap();
    let pushed = lease.write_image(Configuration::default(), &[Layer { blob, ..layer }]).unwrap();
    let [name, other] = ["app:1", "other:1"].map(|name| name.parse::<types::Reference>().unwrap());
    let damaged = lease.put_blob(b"{}").unwrap();
    let listed = |names: &[(&types::Reference, Digest)]| {
        sandbox.store.write_index(names.iter().map(|(name, digest)| ((*name).clone(), *digest))).unwrap();
        let text = fs::read_to_string(sandbox.store.root.join("index.json")).unwrap();
        let index: crate::manifest::Index = serde_json::from_str(&text).unwrap();
        index.manifests.into_iter().map(|descriptor| descriptor.digest).collect::<Vec<_>>()
    };
    assert_eq!(listed(&[(&name, built.manifest), (&other, damaged)]), []);
    assert_eq!(listed(&[(&name, built.manifest), (&name, pushed.manifest)]), [pushed.manifest]);
    assert_eq!(listed(&[(&name, pushed.manifest), (&name, pushed.manifest)]), [pushed.manifest]);
}

#[test]
fn the_kernel_stacks_the_layers_as_the_archives_mean() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let lower = Raw::default()
        .directory("replaced/")
        .file("replaced/old", b"")
        .directory("merged/")
        .file("merged/gone", b"")
        .file("merged/stays", b"")
        .end();
    let upper = Raw::default()
        .directory("replaced/")
        .file("replaced/.wh..wh..opq", b"")
        .file("replaced/new", b"")
        .file("merged/.wh.gone", b"")
        .end();
    let image = image_of(&lease, &[lower, upper]);
    let directories: Vec<_> = sandbox.store.layer_directories(&image).unwrap();
    let lowerdir: Vec<_> = directories.iter().map(|path| path.to_str().unwrap()).collect();
    let target = sandbox.top.path().join("merged");
    fs::create_dir(&target).unwrap();
    let options = std::ffi::CString::new(format!("lowerdir={}", lowerdir.join(":"))).unwrap();
    let flags = rustix::mount::MountFlags::RDONLY;
    if let Err(error) = rustix::mount::mount("overlay", &target, "overlay", flags, options.as_c_str()) {
        eprintln!("skipped: mounting an overlay takes root ({error})");
        return;
    }
    let seen = (names(&target.join("replaced")), names(&target.join("merged")));
    rustix::mount::unmount(&target, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(seen, (vec!["new".to_owned()], vec!["stays".to_owned()]));
}

#[test]
fn a_layer_that_an_image_stands_on_may_occur_in_it_again() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    // The directory that it implies makes it another one each time.
    let implying = Raw::default().file("deep/a", b"x").end();
    let between = Raw::default().file("b", b"x").end();
    let image = image_of(&lease, &[implying.clone(), between]);
    let again = image.layers[0].clone();
    let staged = lease.unpack(implying.as_slice(), Some((&again.blob, again.diff_id))).unwrap();
    let diff_ids = [again.diff_id, image.layers[1].diff_id, again.diff_id];
    lease.place(&diff_ids, vec![staged]).unwrap();
    let layers = [again.clone(), image.layers[1].clone(), again];
    assert_eq!(lease.write_image(Configuration::default(), &layers).unwrap().layers, layers);
}

/// A layer of many files, and one that differs in one of them and is kept as that.
fn whole_and_difference(sandbox: &Sandbox, lease: &Lease) -> [Layer; 2] {
    let upper = sandbox.top.path().join("upper");
    let write = |name: &str, content: &str| {
        let path = upper.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        for path in [&path, path.parent().unwrap()] {
            fs::File::open(path).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }
    };
    (0..20).for_each(|number| write(&format!("d/{number}"), &"x".repeat(5000)));
    let whole = lease.commit_layer(&upper).unwrap();
    write("d/7", "changed");
    let basis = lease.basis(&whole.diff_id).unwrap().unwrap();
    assert_eq!(basis.differences().unwrap(), Vec::<std::path::PathBuf>::new());
    let difference = lease.commit_difference(&upper, &basis).unwrap();
    [whole, difference]
}

#[test]
fn a_layer_that_is_kept_as_a_difference_is_a_layer_like_any_other() {
    let Some(sandbox) = sandbox() else { return };
    let store = &sandbox.store;
    let lease = store.lease().unwrap();
    let [whole, difference] = whole_and_difference(&sandbox, &lease);
    let image = lease.write_image(Configuration::default(), std::slice::from_ref(&difference)).unwrap();
    let directories = store.layer_directories(&image).unwrap();
    assert_eq!(directories, [&difference, &whole].map(|layer| store.layer_path(&layer.diff_id).join(TREE)));
    assert_eq!(names(&directories[0].join("d")), ["7"]);
    assert_eq!(store.size(&image).unwrap(), 19 * 5000 + 7);

    // Its bytes are those of the same files in one place.
    let mut bytes = Vec::new();
    store.copy_layer(&difference, &mut bytes).unwrap();
    let mut entries = tar::Archive::new(bytes.as_slice());
    let paths = entries.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
    assert_eq!(paths.count(), 21);
    assert_eq!(Digest::of(&bytes), difference.diff_id);

    // Another one stands on the same basis, and knows what it has to bring along.
    let basis = lease.basis(&difference.diff_id).unwrap().unwrap();
    assert_eq!((basis.key, basis.differences().unwrap()), (whole.diff_id, vec!["d".into(), "d/7".into()]));

    // The basis stays as long as it is needed, for an image or for who claims the layer.
    let live = || Live { manifests: vec![image.manifest], ..Live::default() };
    let usage = store.usage().unwrap();
    let share = usage.shares(std::slice::from_ref(&image), &Default::default())[0];
    assert!(share.unique > 100_000, "the basis is the image's too");
    assert_eq!(usage.unneeded(std::slice::from_ref(&image), &Default::default()), 0);
    drop(lease);
    assert_eq!(collect(store, live()).layers, []);
    let lease = store.lease().unwrap();
    assert!(lease.hold(&difference.blob, &[difference.diff_id]).unwrap().tree);
    assert_eq!(collect(store, Live::default()).layers, []);
    drop(lease);
    let gone = collect(store, Live::default());
    assert_eq!(gone.layers.len(), 2);
    assert_eq!(gone.bytes, usage.layers.values().sum::<u64>());
}

#[test]
fn damage_of_a_basis_is_damage_of_what_stands_on_it() {
    let Some(sandbox) = sandbox() else { return };
    let store = &sandbox.store;
    let lease = store.lease().unwrap();
    let [whole, difference] = whole_and_difference(&sandbox, &lease);
    let image = lease.write_image(Configuration::default(), std::slice::from_ref(&difference)).unwrap();
    let blob = lease.compress(&difference, &|_| ()).unwrap();
    assert_eq!(store.verify(&[image.manifest], |_| ()).unwrap(), []);
    fs::write(store.layer_path(&whole.diff_id).join("tree/d/1"), "damaged").unwrap();
    let found = store.verify(&[image.manifest], |_| ()).unwrap();
    let mut damaged: Vec<_> = found.iter().map(|finding| finding.subject).collect();
    let mut expected =
        [whole.diff_id, difference.diff_id].map(|diff_id| Subject::Layer { diff_id, key: diff_id });
    damaged.sort();
    expected.sort();
    assert_eq!(damaged, expected);

    // From its blob it is made again, and then stands on nothing.
    assert!(store.has_blob(&blob.digest).unwrap());
    let of_image = found.iter().find(|finding| !finding.manifests.is_empty()).unwrap();
    assert_eq!(lease.repair(of_image).unwrap(), Repair::Done);
    assert_eq!(store.layer_directories(&image).unwrap().len(), 1);
    assert!(
        store.verify(&[image.manifest], |_| ()).unwrap().iter().all(|finding| finding.manifests.is_empty())
    );
}

#[test]
fn a_layer_without_its_basis_is_not_there() {
    let Some(sandbox) = sandbox() else { return };
    let store = &sandbox.store;
    let lease = store.lease().unwrap();
    let [whole, difference] = whole_and_difference(&sandbox, &lease);
    fs::remove_dir_all(store.layer_path(&whole.diff_id)).unwrap();
    assert!(!lease.hold(&difference.blob, &[difference.diff_id]).unwrap().tree);
    assert!(lease.basis(&difference.diff_id).unwrap().is_none());
}
