//! `push` and `pull`: images to a registry and back.

use std::{fs, time::Duration};

use testkit::{Fault, Lossy, Registry, Sandbox};

use crate::{inspect, sandbox};

/// Builds an image of busybox and a layer of a few files; its name in the registry at `host`.
pub fn image(sandbox: &Sandbox, host: &str, name: &str) -> String {
    let name = format!("{host}/{name}");
    let script = "mkdir /data && for i in $(seq 200); do echo $i > /data/$i; done && \
                  dd if=/dev/urandom of=/data/noise bs=64k count=32 2>/dev/null && chown 12:34 /data/7";
    let dockerfile = format!("FROM busybox\nRUN {script}\nCMD [\"cat\", \"/data/7\"]\n");
    fs::write(sandbox.directory().join("Dockerfile"), dockerfile).unwrap();
    let directory = sandbox.directory().to_str().unwrap();
    fs::create_dir_all(sandbox.directory().join("context")).unwrap();
    let context = format!("{directory}/context");
    sandbox.sampan(["build", "-q", "-t", &name, "-f", &format!("{directory}/Dockerfile"), &context]).ok();
    name
}

#[test]
fn an_image_goes_to_a_registry_and_comes_back_the_same() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = image(&sandbox, &registry.host(), "me/hello:v1.0");
    let id = inspect(&sandbox, &name, "{{.Id}}");
    let pushed = sandbox.sampan(["push", &name]).ok();
    let repository = format!("{}/me/hello", registry.host());
    assert!(
        pushed.stdout.starts_with(&format!("The push refers to repository [{repository}]\n")),
        "{pushed}"
    );
    assert_eq!(pushed.stdout.matches(": Pushed\n").count(), 2, "{pushed}");
    let digest = digest_in(&pushed.stdout, "v1.0: digest: ");
    assert_eq!(inspect(&sandbox, &name, "{{index .RepoDigests 0}}"), format!("{repository}@{digest}"));

    let again = sandbox.sampan(["push", &name]).ok();
    assert_eq!(again.stdout.matches(": Layer already exists\n").count(), 2, "{again}");
    assert_eq!(digest_in(&again.stdout, "v1.0: digest: "), digest);

    sandbox.sampan(["rmi", &name]).ok();
    sandbox.sampan(["run", "--rm", "--pull", "never", &name]).fails(125).complains("No such image");
    let pulled = sandbox.sampan(["pull", &name]).ok();
    assert!(pulled.stdout.starts_with("v1.0: Pulling from me/hello\n"), "{pulled}");
    // Busybox's files are still here, but not the bytes that they are in this registry as.
    assert_eq!(pulled.stdout.matches(": Pull complete\n").count(), 2, "{pulled}");
    assert!(
        pulled
            .stdout
            .ends_with(&format!("Digest: {digest}\nStatus: Downloaded newer image for {name}\n{name}\n")),
        "{pulled}"
    );
    assert_eq!(inspect(&sandbox, &name, "{{.Id}}"), id);
    sandbox.sampan(["run", "--rm", &name]).ok().prints("7\n");
    sandbox.sampan(["run", "--rm", &name, "stat", "-c", "%u:%g", "/data/7"]).ok().prints("12:34\n");
    let again = sandbox.sampan(["pull", &name]).ok();
    assert!(again.stdout.contains(&format!("Status: Image is up to date for {name}\n")), "{again}");
    sandbox.sampan(["pull", "-q", &format!("{repository}@{digest}")]).ok();
    sandbox.sampan(["run", "--rm", &format!("{repository}@{digest}")]).ok().prints("7\n");
}

#[test]
fn a_terminal_shows_a_line_for_each_layer_and_nothing_else() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = image(&sandbox, &registry.host(), "hello:1");
    let pushed = sandbox.on_terminal(["push", &name]).finish().ok();
    // In place of "0/0" a layer whose size is not known yet once had a bar over the whole width.
    assert!(pushed.stdout.contains(": Preparing") && !pushed.stdout.contains("0/0"), "{pushed}");
    assert!(pushed.stdout.contains(": Pushed"), "{pushed}");
}

#[test]
fn run_and_build_pull_what_is_missing() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = image(&sandbox, &registry.host(), "hello");
    sandbox.sampan(["push", "-q", &name]).ok().prints(&format!("{name}:latest\n"));
    sandbox.sampan(["rmi", &name]).ok();
    let run = sandbox.sampan(["run", "--rm", &name]).ok().prints("7\n");
    assert!(run.stderr.starts_with(&format!("Unable to find image '{name}:latest' locally\n")), "{run}");
    assert!(run.stderr.contains("Status: Downloaded newer image for "), "{run}");
    sandbox.sampan(["run", "--rm", "--pull", "always", "-q", &name]).ok().prints("7\n").complains("");
    sandbox.sampan(["rmi", &name]).ok();
    fs::write(sandbox.directory().join("context/Dockerfile"), format!("FROM {name}\nLABEL a=b\n")).unwrap();
    let context = sandbox.directory().join("context");
    sandbox.sampan(["build", "-t", "on-top", context.to_str().unwrap()]).ok();
    sandbox.sampan(["run", "--rm", "on-top"]).ok().prints("7\n");
}

#[test]
fn what_another_repository_has_is_mounted_from_there() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = image(&sandbox, &registry.host(), "library/python");
    sandbox.sampan(["push", &name]).ok();
    let other = format!("{}/mine/app:1", registry.host());
    sandbox.sampan(["tag", &name, &other]).ok();
    let pushed = sandbox.sampan(["push", &other]).ok();
    assert_eq!(pushed.stdout.matches(": Mounted from library/python\n").count(), 2, "{pushed}");
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = image(&sandbox, &registry.host(), "hello");
    sandbox.sampan(["push", &name]).ok();
    sandbox.sampan(["rmi", &name]).ok();
    let bytes = size_of_layers(&sandbox, &name);
    let lossy = Lossy::start(&sandbox, registry.address(), Fault::Cut { after: 256 << 10 });
    let through = format!("{}/hello", lossy.host());
    sandbox.sampan(["pull", &through]).ok();
    sandbox.sampan(["run", "--rm", &through]).ok().prints("7\n");
    assert!(lossy.to_client() < bytes + bytes / 8, "{} of {bytes} bytes", lossy.to_client());
}

#[test]
fn a_network_that_breaks_every_five_megabytes_transfers_hardly_anything_twice() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let lossy = Lossy::start(&sandbox, registry.address(), Fault::Cut { after: 5 << 20 });
    let name = format!("{}/noise", lossy.host());
    let context = sandbox.directory().join("noise");
    fs::create_dir(&context).unwrap();
    let noise = "RUN dd if=/dev/urandom of=/noise bs=1M count=40 2>/dev/null\n";
    fs::write(context.join("Dockerfile"), format!("FROM busybox\n{noise}{noise}")).unwrap();
    sandbox.sampan(["build", "-q", "-t", &name, context.to_str().unwrap()]).ok();
    sandbox.sampan(["push", &name]).ok();
    let bytes = size_of_layers(&sandbox, &format!("{}/noise", registry.host()));
    let hardly_more = |what: &str, moved: u64| {
        let more = (moved as f64 / bytes as f64 - 1.0) * 100.0;
        eprintln!("{what}: {more:.2} % of {bytes} bytes went twice");
        assert!(moved >= bytes && more <= 3.0, "{what}: {moved} of {bytes} bytes");
    };
    hardly_more("push", lossy.to_server());
    sandbox.sampan(["rmi", &name]).ok();
    let before = lossy.to_client();
    sandbox.sampan(["pull", &name]).ok();
    hardly_more("pull", lossy.to_client() - before);
    assert!(lossy.connections() > 2 * (bytes >> 20) as usize / 5, "{} connections", lossy.connections());
    sandbox.sampan(["image", "verify"]).ok();
}

#[test]
fn a_pull_that_is_killed_leaves_what_it_has_to_the_next() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = image(&sandbox, &registry.host(), "hello");
    sandbox.sampan(["push", &name]).ok();
    sandbox.sampan(["rmi", &name]).ok();
    let stalled = Lossy::start(&sandbox, registry.address(), Fault::Stall { after: 1 << 20 });
    let through = format!("{}/hello", stalled.host());
    let mut pull = sandbox.start_sampan(["pull", &through]);
    pull.wait_for("Pulling fs layer");
    let partial = sandbox.root().join("partial");
    let here = || -> u64 {
        let files = fs::read_dir(&partial).into_iter().flatten().flatten();
        files.map(|file| file.metadata().unwrap().len()).sum()
    };
    testkit::eventually(
        "most of a megabyte has come",
        || if here() > 900_000 { Ok(()) } else { Err(here()) },
    );
    pull.kill_after(Duration::ZERO).fails(137);
    let (here, whole) = (here(), size_of_layers(&sandbox, &name));
    let good = Lossy::start(&sandbox, registry.address(), Fault::None);
    sandbox.sampan(["pull", &format!("{}/hello", good.host())]).ok();
    assert!(good.to_client() < whole - here + HEADERS, "{} of {whole}, {here} were here", good.to_client());
    assert_eq!(fs::read_dir(&partial).unwrap().count(), 0);
}

#[test]
fn two_pulls_of_one_image_download_it_once() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = image(&sandbox, &registry.host(), "hello");
    sandbox.sampan(["push", &name]).ok();
    sandbox.sampan(["rmi", &name]).ok();
    let whole = size_of_layers(&sandbox, &name);
    let slow = Fault::Delay(Duration::from_millis(20));
    let counted = Lossy::start(&sandbox, registry.address(), slow);
    let through = format!("{}/hello", counted.host());
    let pulls: Vec<_> = (0..4).map(|_| sandbox.start_sampan(["pull", &through])).collect();
    pulls.into_iter().for_each(|pull| drop(pull.finish().ok()));
    assert!(counted.to_client() < whole + HEADERS, "{} for {whole} bytes", counted.to_client());
    sandbox.sampan(["run", "--rm", &through]).ok().prints("7\n");
}

#[test]
fn what_is_not_there_is_named_in_dockers_words() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let host = registry.host();
    sandbox
        .sampan(["push", &format!("{host}/nosuch")])
        .fails(1)
        .complains(&format!("An image does not exist locally with the tag: {host}/nosuch"));
    let name = image(&sandbox, &host, "hello");
    sandbox.sampan(["push", &name]).ok();
    sandbox
        .sampan(["pull", &format!("{name}:v9")])
        .fails(1)
        .complains(&format!("manifest for {name}:v9 not found: manifest unknown"));
    sandbox.sampan(["run", &format!("{name}:v9")]).fails(125).complains("not found");
    sandbox.sampan(["pull", "127.0.0.1:1/hello"]).fails(1).complains("127.0.0.1:1");
}

#[test]
fn several_tags_go_and_come_together() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = format!("{}/many", registry.host());
    for tag in ["1", "2", "3"] {
        sandbox.sampan(["tag", "busybox", &format!("{name}:{tag}")]).ok();
    }
    sandbox.sampan(["push", "--all-tags", &name]).ok();
    sandbox.sampan(["rmi", &format!("{name}:1"), &format!("{name}:2"), &format!("{name}:3")]).ok();
    sandbox.sampan(["pull", "--all-tags", &name]).ok();
    let listed = sandbox.sampan(["images", "--format", "{{.Tag}}", &name]).ok();
    let mut tags = listed.lines();
    tags.sort_unstable();
    assert_eq!(tags, ["1", "2", "3"]);
}

/// The manifest of an image in a registry.
pub fn inspect_manifest(sandbox: &Sandbox, name: &str) -> serde_json::Value {
    serde_json::from_str(&sandbox.sampan(["manifest", "inspect", name]).ok().stdout).unwrap()
}

/// The sizes of an image's layers in a registry.
fn size_of_layers(sandbox: &Sandbox, name: &str) -> u64 {
    let manifest = inspect_manifest(sandbox, name);
    manifest["layers"].as_array().unwrap().iter().map(|layer| layer["size"].as_u64().unwrap()).sum()
}

/// The digest behind `label`.
fn digest_in<'a>(text: &'a str, label: &str) -> &'a str {
    let (_, rest) = text.split_once(label).unwrap_or_else(|| panic!("no {label:?} in {text:?}"));
    &rest[..71]
}

/// More than what all requests of a test take besides the layers.
const HEADERS: u64 = 100_000;
