use image::{Configuration, Image, manifest::Manifest};
use types::{Digest, Reference};

use super::*;

struct Bench {
    engine: Engine,
    _directory: tempfile::TempDir,
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(&directory.path().join("root"), &directory.path().join("run")).unwrap();
    Bench { engine, _directory: directory }
}

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

impl Bench {
    /// An image without layers whose author is `author`, under these names.
    fn image(&self, author: &str, names: &[&str]) -> Image {
        let lease = self.engine.images.lease().unwrap();
        let config = Configuration { author: author.to_owned(), ..Configuration::default() };
        let image = lease.write_image(config, &[]).unwrap();
        self.record(&lease, &image, names);
        image
    }

    /// The same image by a manifest that says the same in other words.
    fn again(&self, image: &Image, names: &[&str]) -> Image {
        let lease = self.engine.images.lease().unwrap();
        let bytes = self.engine.images.read_blob(&image.manifest, 1 << 20).unwrap();
        let manifest = lease.put_blob(&[bytes, b" ".to_vec()].concat()).unwrap();
        let image = lease.publish(&manifest).unwrap();
        self.record(&lease, &image, names);
        image
    }

    fn record(&self, lease: &Lease, image: &Image, names: &[&str]) {
        let names: Vec<Reference> = names.iter().map(|text| name(text)).collect();
        self.engine.record_image(lease, image, &names).unwrap();
    }

    fn known(&self, repository: &str, digest: &Digest, image: &Image) {
        self.engine.record_digest(&name(repository), digest, &image.manifest).unwrap();
    }

    fn finds(&self, reference: &str) -> Option<Digest> {
        match self.engine.image(reference) {
            Ok(row) => Some(row.manifest),
            Err(EngineError::NoImage(_)) => None,
            Err(error) => panic!("{reference}: {error}"),
        }
    }

    /// What `rmi` says.
    fn remove(&self, reference: &str) -> Vec<String> {
        let removed = self.engine.remove_image(reference, false).unwrap();
        let said = removed.into_iter().map(|removed| match removed {
            Removed::Name(name) => name.familiar(),
            Removed::Image(id) | Removed::Layer(id) => id.to_string(),
        });
        said.collect()
    }

    fn has_blob(&self, digest: &Digest) -> bool {
        self.engine.images.has_blob(digest).unwrap()
    }
}

#[test]
fn an_image_is_found_by_the_digests_that_registries_know_it_by() {
    let bench = bench();
    let image = bench.image("a", &["localhost:5000/a:1"]);
    let index = Digest::of(b"an index");
    assert_eq!(bench.finds(&format!("localhost:5000/a@{index}")), None);
    bench.known("localhost:5000/a:1", &index, &image);
    let manifest = image.manifest;
    for reference in [
        format!("localhost:5000/a@{index}"),
        format!("localhost:5000/a:whatever@{index}"),
        format!("localhost:5000/a@{manifest}"),
    ] {
        assert_eq!(bench.finds(&reference), Some(manifest), "{reference}");
    }
    for reference in [format!("localhost:5000/b@{index}"), format!("b@{manifest}"), format!("a@{index}")] {
        assert_eq!(bench.finds(&reference), None, "{reference}");
    }
}

#[test]
fn digests_go_with_the_last_tag_of_their_repository_and_then_the_image() {
    let bench = bench();
    let image = bench.image("a", &["a:1", "a:2", "b:1"]);
    let lease = bench.engine.images.lease().unwrap();
    let index = lease.put_blob(b"an index").unwrap();
    for repository in ["a", "b"] {
        bench.known(repository, &index, &image);
    }
    drop(lease);
    assert_eq!(bench.remove("a:1"), ["a:1"]);
    assert_eq!(bench.remove("a:2"), ["a:2".to_owned(), format!("a@{index}")]);
    assert!(bench.has_blob(&index) && bench.has_blob(&image.manifest));
    let said = bench.remove("b:1");
    assert_eq!(said, ["b:1".to_owned(), format!("b@{index}"), image.id.to_string()]);
    assert!(!bench.has_blob(&index) && !bench.has_blob(&image.manifest) && !bench.has_blob(&image.id));
}

#[test]
fn an_image_can_be_removed_by_a_digest() {
    let bench = bench();
    let image = bench.image("a", &["a:1"]);
    let index = Digest::of(b"an index");
    bench.known("a", &index, &image);
    assert_eq!(bench.remove(&format!("a:1@{index}")), [format!("a@{index}")]);
    assert_eq!(bench.finds("a:1"), Some(image.manifest));
    bench.known("a", &index, &image);
    bench.image("newer", &["a:1"]);
    let summary = bench.engine.list_images().unwrap().into_iter().find(|other| other.id == image.id).unwrap();
    assert_eq!((summary.names, summary.digests), (vec![], vec![name(&format!("a@{index}"))]));
    assert_eq!(bench.remove(&format!("a@{index}")), [format!("a@{index}"), image.id.to_string()]);
}

#[test]
fn what_a_registry_has_of_an_image_stays_as_long_as_the_image() {
    let bench = bench();
    let image = bench.image("a", &["a:1"]);
    let lease = bench.engine.images.lease().unwrap();
    // What was pushed: the same image by a manifest of its own, with a blob of its own.
    let blob = lease.put_blob(b"a layer, compressed").unwrap();
    let mut manifest: Manifest = bench.engine.images.manifest(&image.manifest).unwrap();
    manifest.layers.push(image::manifest::Descriptor::new(image::manifest::OCI_LAYER_GZIP, blob, 19));
    let pushed = lease.put_blob(&serde_json::to_vec(&manifest).unwrap()).unwrap();
    bench.known("a", &pushed, &image);
    drop(lease);
    bench.image("b", &["b:1"]);
    bench.remove("b:1");
    assert!(bench.has_blob(&pushed) && bench.has_blob(&blob));
    bench.remove("a:1");
    assert!(!bench.has_blob(&pushed) && !bench.has_blob(&blob));
}

#[test]
fn the_same_image_by_another_manifest_is_one_image() {
    let bench = bench();
    let first = bench.image("a", &["a:1"]);
    let index = Digest::of(b"an index");
    bench.known("a", &index, &first);
    let second = bench.again(&first, &["b:1"]);
    assert_eq!(first.id, second.id);
    assert_ne!(first.manifest, second.manifest);
    let images = bench.engine.list_images().unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].names, [name("a:1"), name("b:1")]);
    assert_eq!(bench.finds(&format!("a@{index}")), Some(second.manifest));
    assert_eq!(bench.finds(&first.id.hex()[..12]), Some(second.manifest));
}

#[test]
fn a_digest_of_an_image_that_is_gone_already_is_not_recorded() {
    let bench = bench();
    let image = bench.image("a", &["a:1"]);
    bench.remove("a:1");
    bench.known("a", &Digest::of(b"an index"), &image);
    assert_eq!(bench.engine.digests_of(&image.manifest).unwrap(), []);
}

#[test]
fn pruning_takes_downloads_that_nobody_goes_on_with() {
    let bench = bench();
    let partial = bench.engine.root().join("partial").join(Digest::of(b"a layer").hex());
    std::fs::write(&partial, [1; 9000]).unwrap();
    let pruned = bench.engine.prune_images(Unneeded::Dangling, &ImageFilters::default()).unwrap();
    assert_eq!(pruned, Pruned { removed: vec![], bytes: 12288 });
    assert!(!partial.exists());
}

#[test]
fn pruning_takes_what_has_no_tag_or_no_container() {
    let bench = bench();
    let old = bench.image("old", &["a:1"]);
    bench.known("a", &Digest::of(b"an index"), &old);
    let new = bench.image("new", &["a:1"]);
    let nameless = bench.image("nameless", &[]);
    let prune = |unneeded| {
        let pruned = bench.engine.prune_images(unneeded, &ImageFilters::default()).unwrap();
        assert!(pruned.bytes > 0 || pruned.removed.is_empty());
        let images = pruned.removed.into_iter().filter_map(|removed| match removed {
            Removed::Image(id) => Some(id),
            _ => None,
        });
        let mut images: Vec<Digest> = images.collect();
        images.sort();
        images
    };
    let mut dangling = vec![old.id, nameless.id];
    dangling.sort();
    assert_eq!(prune(Unneeded::Dangling), dangling);
    assert_eq!(prune(Unneeded::Dangling), []);
    assert_eq!(prune(Unneeded::Unused), [new.id]);
}
