//! `system df`: what takes how much disk, as `du` says.

use std::process::Command;

use serde_json::Value;
use testkit::Sandbox;

use crate::{background, history::build, sandbox};

/// What `du` says of these below the engine's root, in bytes.
pub fn disk(sandbox: &Sandbox, parts: &[&str]) -> f64 {
    let parts = parts.iter().map(|part| sandbox.root().join(part)).filter(|path| path.exists());
    let output = Command::new("du").args(["-s", "-c", "-B1"]).args(parts).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().last().unwrap().split('\t').next().unwrap().parse().unwrap()
}

/// Whether a size of four digits, such as `4.219MB`, stands for so many bytes.
pub fn is_about(size: &str, bytes: f64) -> bool {
    let at = size.find(|c: char| c.is_ascii_alphabetic()).unwrap();
    let unit = match &size[at..] {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        other => panic!("nothing here is {other}"),
    };
    (size[..at].parse::<f64>().unwrap() * unit - bytes).abs() <= bytes * 0.0005
}

#[test]
fn every_part_takes_what_du_says() {
    let Some(sandbox) = sandbox() else { return };
    build(&sandbox, "app");
    let script = "dd if=/dev/zero of=/big bs=64k count=16; dd if=/dev/zero of=/data/big bs=64k count=8";
    background(&sandbox, &["--name", "done", "-v", "data:/data"], script);
    sandbox.sampan(["wait", "done"]).ok();
    let listed = sandbox.sampan(["system", "df", "--format", "{{.Size}}"]).ok();
    let store = ["blobs", "layers", "compressed", "partial", "leases", "index.json", "oci-layout"];
    let parts: [&[&str]; 4] = [&store, &["containers", "mount-points"], &["volumes"], &["cache"]];
    for (said, parts) in listed.lines().iter().zip(parts) {
        let measured = disk(&sandbox, parts);
        assert!(measured > 0.0 && is_about(said, measured), "{measured} in {parts:?}: {listed}");
    }
    assert_eq!(listed.lines().len(), 4);
}

#[test]
fn the_table_tells_what_is_in_use_and_what_could_be_had_back() {
    let Some(sandbox) = sandbox() else { return };
    build(&sandbox, "app");
    sandbox.sampan(["run", "--name", "user", "-v", "data:/data", "busybox", "true"]).ok();
    let table = sandbox.sampan(["system", "df"]).ok();
    let words = |line: usize| table.lines()[line].split_whitespace().collect::<Vec<_>>();
    assert_eq!(words(0), ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
    assert_eq!(words(1)[..3], ["Images", "2", "1"]);
    assert_eq!(words(2)[..3], ["Containers", "1", "0"]);
    assert_eq!(words(3)[..4], ["Local", "Volumes", "1", "1"]);
    assert_eq!((words(4)[0], words(4)[3]), ("Build", "0"));
    // Without the cache, which would keep its layer.
    sandbox.sampan(["builder", "prune", "-af"]).ok();
    let json = sandbox.sampan(["system", "df", "--format", "json"]).ok();
    let images: Value = serde_json::from_str(json.lines()[0]).unwrap();
    assert_eq!((&images["Type"], &images["TotalCount"]), (&"Images".into(), &"2".into()));
    // What the image that nobody uses has for itself can be had back, and what pruning frees.
    let document = sandbox.sampan(["system", "df", "-v", "--format", "json"]).ok();
    let document: Value = serde_json::from_str(&document.stdout).unwrap();
    let app =
        document["Images"].as_array().unwrap().iter().find(|image| image["Repository"] == "app").unwrap();
    let unique = app["UniqueSize"].as_u64().unwrap() as f64;
    let reclaimable = images["Reclaimable"].as_str().unwrap().split(' ').next().unwrap();
    assert!(is_about(reclaimable, unique), "{unique} of {images}");
    let pruned = sandbox.sampan(["image", "prune", "-af"]).ok();
    assert!(is_about(pruned.stdout.trim_end().rsplit(' ').next().unwrap(), unique), "{unique} in\n{pruned}");
}

#[test]
fn every_thing_has_its_line() {
    let Some(sandbox) = sandbox() else { return };
    build(&sandbox, "app");
    sandbox.sampan(["run", "--name", "user", "-v", "data:/data", "busybox", "true"]).ok();
    let all = sandbox.sampan(["system", "df", "--verbose"]).ok();
    for expected in [
        "Images space usage:\n\nREPOSITORY   TAG       IMAGE ID       CREATED",
        "SIZE      SHARED SIZE   UNIQUE SIZE   CONTAINERS\n",
        "\nbusybox      latest    ",
        "\n\nContainers space usage:\n\nCONTAINER ID   IMAGE     COMMAND   LOCAL VOLUMES   SIZE",
        "busybox   \"true\"    1               ",
        "\n\nLocal Volumes space usage:\n\nVOLUME NAME   LINKS     SIZE\ndata          1         8.192kB\n",
        "\nBuild cache usage: ",
    ] {
        assert!(all.stdout.contains(expected), "{expected:?} in\n{all}");
    }
}
