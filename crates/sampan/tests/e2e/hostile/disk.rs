//! A disk that is full in the middle of a pull.

use std::{fs, io::Read};

use super::{Scene, image::Image, is_refusal, tar::Tar};

#[test]
fn a_full_disk_is_told_and_room_for_the_image_can_be_made() {
    let Some(scene) = Scene::on_disk("size=20m") else { return };
    // Each is there twice: as it came, and unpacked.
    let (small, large) = (noise("small", 4 << 20), noise("large", 7 << 20));
    small.serve(&scene.registry);
    large.serve(&scene.registry);
    scene.pull(&small).finish().ok();

    let outcome = scene.pull(&large).finish();
    assert!(is_refusal(&outcome, "No space left on device"), "{outcome}");
    let listed = ["images", "--format", "{{.Repository}}"];
    scene.sandbox.sampan(listed).ok().prints(&format!("{}\n", scene.reference(&small)));
    scene.sandbox.sampan(["image", "verify"]).ok();

    scene.sandbox.sampan(["image", "prune", "--all", "--force"]).ok();
    scene.pull(&large).finish().ok();
    scene.sandbox.sampan(listed).ok().prints(&format!("{}\n", scene.reference(&large)));
    scene.sandbox.sampan(["image", "verify"]).ok();
}

/// An image with a file of this size that cannot be compressed.
fn noise(name: &str, size: u64) -> Image {
    let mut noise = Vec::new();
    fs::File::open("/dev/urandom").unwrap().take(size).read_to_end(&mut noise).unwrap();
    Image::new(name, &Tar::default().file("noise", noise).end())
}
