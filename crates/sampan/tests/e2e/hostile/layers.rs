//! Layers that would write where they must not, or make programs disagree, from a registry and from an archive.

use std::fs;

use serde_json::json;
use types::Digest;

use crate::{sandbox, verify::find};

use super::{
    Scene,
    image::{Image, architecture, gzip},
    is_refusal,
    tar::Tar,
};

/// A layer, and why it is refused. `outside` is a directory of the host's.
struct Attack {
    name: &'static str,
    layer: fn(outside: &str) -> Vec<u8>,
    complaint: &'static str,
}

const ATTACKS: [Attack; 18] = [
    Attack {
        name: "dots",
        layer: |_| start().file("data/../../../../escaped", "x").end(),
        complaint: "its name has a \"..\"",
    },
    Attack {
        name: "dots-in-front",
        layer: |outside| start().file(&format!("../../../../../../../../..{outside}/secret"), "x").end(),
        complaint: "its name has a \"..\"",
    },
    Attack {
        name: "through-a-link",
        layer: |outside| start().symlink("way", outside).file("way/secret", "x").end(),
        complaint: "it is below a symbolic link",
    },
    Attack {
        name: "through-a-replaced-directory",
        layer: |outside| {
            let tar = start().directory("way").file("way/first", "").symlink("way", outside);
            tar.file("way/secret", "x").end()
        },
        complaint: "it is below a symbolic link",
    },
    Attack {
        name: "directory-through-a-link",
        layer: |_| start().symlink("way", "/").directory("way/sampan-escaped").end(),
        complaint: "it is below a symbolic link",
    },
    Attack {
        name: "hard-link",
        layer: |outside| start().hard_link("mine", &format!("{outside}/secret")).end(),
        complaint: "it is a hard link to something that is no file of the archive",
    },
    Attack {
        name: "hard-link-through-a-link",
        layer: |outside| {
            start().symlink("way", outside).hard_link("mine", "way/secret").file("mine", "x").end()
        },
        complaint: "it is a hard link to something that is no file of the archive",
    },
    Attack {
        name: "whiteout-of-nothing",
        layer: |_| start().file("data/.wh.", "").end(),
        complaint: "no whiteout has such a name",
    },
    Attack {
        name: "whiteout-of-itself",
        layer: |_| start().file("data/.wh..", "").end(),
        complaint: "no whiteout has such a name",
    },
    Attack {
        name: "whiteout-of-its-parent",
        layer: |_| start().file("data/.wh...", "").end(),
        complaint: "no whiteout has such a name",
    },
    Attack {
        name: "opaque-root",
        layer: |_| start().file(".wh..wh..opq", "").end(),
        complaint: "the root of a layer cannot be opaque",
    },
    Attack {
        name: "whiteout-by-device",
        layer: |_| start().device("data/gone", 0, 0).end(),
        complaint: "a device 0:0 would be a whiteout",
    },
    Attack {
        name: "overlay-attribute",
        layer: |_| {
            start().pax("SCHILY.xattr.trusted.overlay.redirect", b"/etc").directory("data/other").end()
        },
        complaint: "it has an attribute that belongs to overlayfs",
    },
    Attack {
        name: "name-with-nul",
        layer: |_| start().pax("path", b"data/seen\0unseen").file("data/x", "x").end(),
        complaint: "a name with a NUL in it",
    },
    Attack {
        name: "size-beyond-the-end",
        layer: |_| start().pax("size", b"1099511627776").file("data/x", "x").end(),
        complaint: "the tar archive ends in the middle of",
    },
    Attack {
        name: "large-header",
        layer: |_| start().pax("comment", &vec![b'x'; 1 << 20]).file("data/x", "x").end(),
        complaint: "an extended header of more than 1 MiB",
    },
    Attack {
        name: "cut",
        layer: |_| {
            let mut layer = start().file("data/long", [b'x'; 2000]).bytes();
            layer.truncate(layer.len() - 1000);
            layer
        },
        complaint: "the tar archive ends in the middle of \"data/long\"",
    },
    Attack {
        name: "terminal",
        layer: |_| start().file("../\x1b[2Jall\nis well", "").end(),
        complaint: "refused \"../\\x1b[2Jall\\nis well\" in the archive: ",
    },
];

#[test]
fn a_layer_that_reaches_beyond_its_root_or_is_ambiguous_is_refused_wherever_it_comes_from() {
    let Some(scene) = Scene::set() else { return };
    let sandbox = &scene.sandbox;
    let mut wrong = Vec::new();
    for Attack { name, layer, complaint } in ATTACKS {
        let image = Image::new(name, &layer(&scene.outside));
        image.serve(&scene.registry);
        let pulled = scene.pull(&image).finish();
        let archive = sandbox.file("archive.tar", image.archive());
        let loaded = sandbox.sampan(["load", "-q", "-i", &archive]);
        let outcomes = [pulled, loaded];
        let outcomes = outcomes.iter().filter(|outcome| !is_refusal(outcome, complaint));
        wrong.extend(outcomes.map(|outcome| format!("{name}: {complaint:?} expected\n{outcome}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    scene.is_untouched();
    let good = Image::good(ATTACKS[0].name);
    good.serve(&scene.registry);
    scene.pull(&good).finish().ok();
    sandbox.sampan(["load", "-q", "-i", &sandbox.file("archive.tar", good.archive())]).ok();
}

#[test]
fn a_compressed_layer_that_ends_early_is_refused() {
    let Some(scene) = Scene::set() else { return };
    let layer = start().file("data/long", [b'x'; 20_000]).end();
    let mut cut = gzip(&layer);
    cut.truncate(cut.len() - 12);
    let image = Image::of_blob("cut", cut, &layer);
    image.serve(&scene.registry);
    let archive = scene.sandbox.file("archive.tar", image.archive());
    for outcome in [scene.pull(&image).finish(), scene.sandbox.sampan(["load", "-q", "-i", &archive])] {
        assert!(is_refusal(&outcome, "cannot read the tar archive"), "{outcome}");
    }
    scene.is_untouched();
}

#[test]
fn a_layer_that_inflates_to_more_than_the_disk_has_is_stopped_before_it_is_full() {
    let Some(scene) = Scene::on_disk("size=134m") else { return };
    // Not of zeros, which would take no space.
    let layer = Tar::default().file("bomb", vec![b'x'; 300 << 20]).end();
    let image = Image::new("bomb", &layer);
    drop(layer);
    assert!(image.layer.len() < 4 << 20);
    image.serve(&scene.registry);
    let outcome = scene.pull(&image).finish();
    assert!(
        is_refusal(&outcome, "cannot unpack: less than 7025459 bytes would stay free on the disk"),
        "{outcome}"
    );
    scene.is_untouched();
    let good = Image::good("bomb");
    let archive = scene.sandbox.file("good.tar", good.archive());
    let load = scene.sandbox.shell(&format!("SAMPAN_RESERVED_SPACE=much $SAMPAN load -i {archive}"));
    let wrong = scene.sandbox.start(load).finish().fails(1);
    wrong.complains("SAMPAN_RESERVED_SPACE is \"much\", expected a size such as 1GB");
    good.serve(&scene.registry);
    scene.pull(&good).finish().ok();
}

#[test]
fn what_is_odd_but_clear_is_harmless() {
    let Some(with_busybox) = sandbox() else { return };
    let busybox = fs::read(find(&with_busybox, "bin/busybox")).unwrap();
    let Some(scene) = Scene::set() else { return };
    let layer = start()
        .file("bin/busybox", busybox)
        .file(&format!("{}/secret", scene.outside), "the image's own")
        .file("/sampan-escaped", "no")
        .file("name", "first")
        .file("name", "last")
        .device("memory", 1, 1)
        .device("terminal", 5, 0)
        .pax("size", b"4")
        .file("size", "four")
        .file("data/gone", "")
        .file("data/.wh.other", "")
        .file("data/.wh..wh..opq", "")
        .symlink("secret", &format!("../../../../../../../..{}/secret", scene.outside))
        .end();
    let image = Image::new("odd", &layer);
    image.serve(&scene.registry);
    scene.pull(&image).finish().ok();
    let reference = scene.reference(&image);
    let run = |command: &[&str]| {
        scene.sandbox.sampan([&["run", "--rm", &reference, "/bin/busybox"], command].concat())
    };
    run(&["cat", "/name", "/size", "/secret"]).ok().prints("lastfourthe image's own");
    run(&["test", "-e", "/data/other"]).fails(1);
    run(&["head", "-c", "1", "/memory"]).fails(1).complains("Operation not permitted");
    let privileged = run(&["ls", "-l", "/terminal"]).ok();
    assert!(privileged.stdout.starts_with("crwxr-xr-x"), "{privileged}");
    scene.sandbox.sampan(["rmi", &reference]).ok();
    scene.is_untouched();
}

#[test]
fn a_configuration_that_points_outside_stays_inside() {
    let (Some(with_busybox), Some(scene)) = (sandbox(), Scene::set()) else { return };
    let busybox = fs::read(find(&with_busybox, "bin/busybox")).unwrap();
    let layer = start().file("bin/busybox", busybox).end();
    let config = json!({
        "architecture": architecture(), "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer).to_string()] },
        "history": [{ "created_by": "\u{1b}[2Jgone" }],
        "config": {
            "Cmd": ["/bin/busybox", "echo", "\u{1b}[2Jgone"],
            "WorkingDir": format!("/data/../../../../../..{}/made", scene.outside),
            "Volumes": { "/../../../../../sampan-escaped": {} },
        },
    });
    let image = Image::with_config("pointing", gzip(&layer), &config);
    image.serve(&scene.registry);
    scene.pull(&image).finish().ok();
    let reference = scene.reference(&image);
    scene.sandbox.sampan(["run", "--name", "box", &reference, "/bin/busybox", "touch", "file"]).ok();
    for list in [&["ps", "--all", "--no-trunc"][..], &["history", &reference]] {
        let listed = scene.sandbox.sampan(list).ok();
        assert!(!listed.stdout.contains('\u{1b}'), "the image speaks to the terminal\n{listed}");
    }
    scene.sandbox.sampan(["rm", "--volumes", "box"]).ok();
    scene.sandbox.sampan(["rmi", &reference]).ok();
    scene.is_untouched();
}

/// An archive with a directory.
fn start() -> Tar {
    Tar::default().directory("data")
}
