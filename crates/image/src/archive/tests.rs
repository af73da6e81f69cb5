use std::{fs, io::Write, os::unix::fs::MetadataExt, path::Path, process::Command};

use types::Reference;

use super::*;
use crate::{
    config::Configuration,
    layer::tests::{in_memory, privileged, with_right_sums},
    manifest::{Descriptor, Index, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST},
    store::Store,
    store::tests::{image_of, sandbox},
    tarball::tests::Raw,
    tree::{Links, Owner, Root},
};

fn config(diff_ids: &[Digest]) -> Vec<u8> {
    let mut config = Configuration { os: "linux".to_owned(), ..Configuration::default() };
    config.rootfs.diff_ids = diff_ids.to_vec();
    serde_json::to_vec(&config).unwrap()
}

/// An archive as docker wrote it before version 25, its two equal layers being one file and a link.
fn old_archive(tags: &str) -> Raw {
    let layer = Raw::default().file("a", b"x").end();
    let config = config(&[Digest::of(&layer), Digest::of(&layer)]);
    let manifest =
        format!(r#"[{{"Config":"cfg.json","RepoTags":{tags},"Layers":["one/layer.tar","two/layer.tar"]}}]"#);
    Raw::default()
        .directory("one/")
        .file("one/VERSION", b"1.0")
        .file("one/layer.tar", &layer)
        .directory("two/")
        .symlink("two/layer.tar", "../one/layer.tar")
        .file("cfg.json", &config)
        .file("manifest.json", manifest.as_bytes())
        .file("repositories", b"{}")
}

#[test]
fn what_was_saved_loads_as_the_same_images_with_their_names() {
    let (Some(from), Some(to)) = (sandbox(), sandbox()) else { return };
    let lease = from.store.lease().unwrap();
    let base = Raw::default().directory("d/").file("d/file", b"x").end();
    let first = image_of(&lease, std::slice::from_ref(&base));
    let second = image_of(&lease, &[base.clone(), Raw::default().file("d/more", b"y").end()]);
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<Reference>>();
    let images = [(first, names(&["a:1", "localhost:5000/b:2"])), (second, vec![])];
    let mut archive = Vec::new();
    save(&from.store, &images, &mut archive).unwrap();
    let mut again = Vec::new();
    save(&from.store, &images, &mut again).unwrap();
    assert!(archive == again, "the same bytes each time");
    let count = archive.windows(base.len()).filter(|part| *part == base).count();
    assert_eq!(count, 1, "a shared layer is written once");
    for compress in ["cat", "gzip", "zstd", "xz", "bzip2"] {
        let lease = to.store.lease().unwrap();
        let loaded = load(&lease, through(compress, &archive).as_slice(), None).unwrap();
        let loaded: Vec<_> = loaded.into_iter().map(|l| (l.image, l.names)).collect();
        assert_eq!(loaded, images, "{compress}");
    }
    let top = &to.store.layer_directories(&images[1].0).unwrap()[0];
    assert_eq!(fs::read(top.join("d/more")).unwrap(), b"y");
}

#[test]
fn a_built_layer_is_saved_without_having_a_blob() {
    let (Some(from), Some(to)) = (sandbox(), sandbox()) else { return };
    let lease = from.store.lease().unwrap();
    let upper = from.top.path().join("upper");
    fs::create_dir(&upper).unwrap();
    fs::write(upper.join("file"), "built").unwrap();
    let layer = lease.commit_layer(&upper).unwrap();
    let image = lease.write_image(Configuration::default(), &[layer]).unwrap();
    let mut archive = Vec::new();
    save(&from.store, &[(image.clone(), vec![])], &mut archive).unwrap();
    let lease = to.store.lease().unwrap();
    assert_eq!(load(&lease, archive.as_slice(), None).unwrap()[0].image, image);
}

#[test]
fn an_archive_of_an_old_docker_is_loaded() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let archive = old_archive(r#"["app:1","localhost:5000/x:latest"]"#).end();
    let loaded = load(&lease, archive.as_slice(), None).unwrap();
    assert_eq!(loaded.len(), 1);
    let names: Vec<_> = loaded[0].names.iter().map(Reference::familiar).collect();
    assert_eq!(names, ["app:1", "localhost:5000/x:latest"]);
    let directories = sandbox.store.layer_directories(&loaded[0].image).unwrap();
    assert_eq!(directories.len(), 2);
    assert!(directories[0].join("a").exists());
    assert!(load(&lease, old_archive("null").end().as_slice(), None).unwrap()[0].names.is_empty());
}

#[test]
fn what_is_no_image_archive_says_so_and_leaves_nothing() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let layer = Raw::default().file("a", b"x").end();
    let lying = config(&[Digest::of(b"something else")]);
    let manifest = br#"[{"Config":"c","Layers":["l"]}]"#;
    let cases = [
        (b"hello".repeat(1000), "not a tar archive"),
        (b"BZh91AY&SY".to_vec(), "cannot read the archive"),
        (Raw::default().file("etc/passwd", b"").end(), "neither a docker archive nor an OCI"),
        (Raw::default().file("manifest.json", b"[]").end(), "no image"),
        (Raw::default().file("manifest.json", b"{").end(), "invalid"),
        (Raw::default().file("manifest.json", manifest).end(), "lacks \"c\""),
        (Raw::default().file("manifest.json", manifest).file("c", &config(&[])).end(), "invalid"),
        (
            Raw::default().file("manifest.json", manifest).file("c", &lying).file("l", &layer).end(),
            "is damaged: its content hashes",
        ),
        (
            Raw::default()
                .file("manifest.json", manifest)
                .file("c", &lying)
                .symlink("l", "../../etc/passwd")
                .end(),
            "lacks \"l\"",
        ),
    ];
    for (archive, why) in cases {
        let error = load(&lease, archive.as_slice(), None).expect_err(why).to_string();
        assert!(error.contains(why), "{error:?} does not say {why:?}");
    }
    let freed = sandbox.store.collect(|| Ok::<_, StoreError>(Default::default())).unwrap();
    assert_eq!(freed, Default::default());
}

#[test]
fn image_archives_that_nobody_would_write_are_refused_or_give_whole_images() {
    if !privileged() {
        return;
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/images");
    let words =
        ["..", "/", "\"", "[", "]", "{", "}", ",", "null", "-1", "sha256:", "ustar\0", "0", "2", "x", "é"];
    let top = tempfile::tempdir_in(in_memory()).unwrap();
    let store = Store::open(&top.path().join("root")).unwrap();
    testkit::fuzz(&corpus, &words, |bytes| {
        let lease = store.lease().unwrap();
        let Ok(loaded) = load(&lease, with_right_sums(bytes).as_slice(), None) else { return };
        assert!(!loaded.is_empty());
        let manifests: Vec<_> = loaded.iter().map(|loaded| loaded.image.manifest).collect();
        assert!(store.verify(&manifests, |_| {}).unwrap().is_empty());
    });
    store.collect(|| Ok::<_, StoreError>(Default::default())).unwrap();
    let left = store.collect(|| Ok::<_, StoreError>(Default::default())).unwrap();
    assert_eq!(left, Default::default());
}

#[test]
fn a_layer_of_another_size_than_its_manifest_says_is_refused() {
    let Some(sandbox) = sandbox() else { return };
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let layer = Raw::default().file("a", b"x").end();
    let config = config(&[Digest::of(&layer)]);
    for (excess, is_good) in [(0, true), (1, false)] {
        let described = Descriptor::new(OCI_CONFIG, Digest::of(&config), config.len() as u64);
        let size = layer.len() as u64 + excess;
        let layers = vec![Descriptor::new(OCI_LAYER, Digest::of(&layer), size)];
        let manifest = serde_json::to_vec(&Manifest::new(described, layers)).unwrap();
        let entry = Descriptor::new(OCI_MANIFEST, Digest::of(&manifest), manifest.len() as u64);
        let index = serde_json::to_vec(&Index::new(vec![entry])).unwrap();
        let archive = Raw::default()
            .file(&blob(&layer), &layer)
            .file(&blob(&config), &config)
            .file(&blob(&manifest), &manifest)
            .file("index.json", &index)
            .end();
        let top = tempfile::tempdir_in(sandbox.top.path()).unwrap();
        let store = Store::open(top.path()).unwrap();
        let loaded = load(&store.lease().unwrap(), archive.as_slice(), None);
        assert_eq!(loaded.is_ok(), is_good);
        if let Err(error) = loaded {
            assert!(matches!(error, ArchiveError::Store(StoreError::WrongSize { .. })), "{error}");
        }
    }
}

#[test]
fn of_an_image_for_many_platforms_the_one_that_is_asked_for_is_loaded() {
    let Some(sandbox) = sandbox() else { return };
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let described =
        |media_type: &str, bytes: &[u8]| Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64);
    let mut archive = Raw::default();
    let mut entries = Vec::new();
    for architecture in ["amd64", "arm64", "riscv64"] {
        let mut config = Configuration { os: "linux".to_owned(), ..Configuration::default() };
        config.architecture = architecture.to_owned();
        let config = serde_json::to_vec(&config).unwrap();
        let manifest = Manifest::new(described(OCI_CONFIG, &config), vec![]);
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let platform = format!(r#"{{"os":"linux","architecture":"{architecture}"}}"#);
        let platform = Some(serde_json::from_str(&platform).unwrap());
        entries.push(Descriptor { platform, ..described(OCI_MANIFEST, &manifest) });
        archive = archive.file(&blob(&config), &config).file(&blob(&manifest), &manifest);
    }
    let inner = serde_json::to_vec(&Index::new(entries)).unwrap();
    let outer = serde_json::to_vec(&Index::new(vec![described(OCI_INDEX, &inner)])).unwrap();
    let archive = archive.file(&blob(&inner), &inner).file("index.json", &outer).end();
    let lease = sandbox.store.lease().unwrap();
    for wanted in ["linux/arm64", "linux/riscv64"] {
        let platform = wanted.parse().unwrap();
        let loaded = load(&lease, archive.as_slice(), Some(&platform)).unwrap();
        assert_eq!(format!("linux/{}", loaded[0].image.config.architecture), wanted);
    }
    let other = "linux/s390x".parse().unwrap();
    assert!(matches!(load(&lease, archive.as_slice(), Some(&other)), Err(ArchiveError::NoImage)));
}

#[test]
fn a_blob_that_is_not_what_its_name_says_is_refused() {
    let (Some(from), Some(to)) = (sandbox(), sandbox()) else { return };
    let lease = from.store.lease().unwrap();
    let image = image_of(&lease, &[Raw::default().file("a", b"x").end()]);
    let mut archive = Vec::new();
    save(&from.store, &[(image, vec![])], &mut archive).unwrap();
    let at = archive.windows(10).rposition(|part| part == b"x\0\0\0\0\0\0\0\0\0").unwrap();
    archive[at] = b'y';
    let error = load(&to.store.lease().unwrap(), archive.as_slice(), None).unwrap_err();
    assert!(matches!(error, ArchiveError::Damaged { .. }), "{error}");
}

#[test]
fn a_root_file_system_becomes_an_image() {
    let Some(sandbox) = sandbox() else { return };
    let lease = sandbox.store.lease().unwrap();
    let archive = Raw::default().directory("etc/").file("etc/name", b"imported").end();
    let mut config = Configuration::default();
    config.config.cmd = Some(vec!["sh".to_owned()]);
    let image = import(&lease, through("gzip", &archive).as_slice(), config).unwrap();
    assert_eq!(image.layers[0].diff_id, Digest::of(&archive));
    assert_eq!(image.config.config.cmd, Some(vec!["sh".to_owned()]));
    let top = &sandbox.store.layer_directories(&image).unwrap()[0];
    assert_eq!(fs::read(top.join("etc/name")).unwrap(), b"imported");
}

#[test]
fn archives_are_told_from_other_files_and_extracted_into_a_tree() {
    let Some(sandbox) = sandbox() else { return };
    let archive = Raw::default().file("lib/new", b"x").symlink("out", "/etc").file("kept/.wh.x", b"").end();
    assert!(is_archive(archive.as_slice()));
    assert!(is_archive(through("xz", &archive).as_slice()));
    for other in [b"#!/bin/sh\n".to_vec(), vec![], vec![0; 4096], through("gzip", b"just text")] {
        assert!(!is_archive(other.as_slice()));
    }
    let tree = sandbox.top.path().join("tree");
    fs::create_dir_all(tree.join("usr/lib")).unwrap();
    std::os::unix::fs::symlink("/usr/lib", tree.join("lib")).unwrap();
    let root = Root::open(&tree, Links::StayInside).unwrap();
    extract(through("gzip", &archive).as_slice(), &root, Some(Owner { uid: 9, gid: 8 })).unwrap();
    let stat = fs::metadata(tree.join("usr/lib/new")).unwrap();
    assert_eq!((stat.uid(), stat.gid()), (9, 8));
    // The link that came with the archive leads inside the tree too, where nothing is.
    assert!(extract(Raw::default().file("out/passwd", b"x").end().as_slice(), &root, None).is_err());
    assert!(!tree.join("etc").exists());
}

fn through(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let input = fs::File::open(Path::new(file.path())).unwrap();
    Command::new(program).stdin(input).output().unwrap().stdout
}
