//! `build --output` and its kin: what comes out of a build.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use testkit::{Outcome, Registry, Sandbox};

use crate::{inspect, sandbox};

/// A directory with a Dockerfile and a file; its path.
fn context(sandbox: &Sandbox, dockerfile: &str) -> String {
    let directory = sandbox.directory().join("context");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("Dockerfile"), dockerfile).unwrap();
    fs::write(directory.join("hello"), "hello\n").unwrap();
    directory.to_str().unwrap().to_owned()
}

fn build<const N: usize>(sandbox: &Sandbox, context: &str, options: [&str; N]) -> Outcome {
    sandbox.sampan(["build", "--progress", "plain"].into_iter().chain(options).chain([context]))
}

/// The path of `name` in the sandbox's directory.
fn place(sandbox: &Sandbox, name: &str) -> String {
    sandbox.directory().join(name).to_str().unwrap().to_owned()
}

const FILES: &str = "FROM busybox\nRUN rm -r /home && mkdir -m 1777 /d && echo a > /d/a && ln /d/a /d/b && \
                     chown 5:6 /d/a && ln -s nowhere /link\n";

#[test]
fn a_directory_gets_the_files_and_keeps_what_else_it_has() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, FILES);
    let out = sandbox.directory().join("out");
    fs::create_dir_all(out.join("link")).unwrap();
    fs::write(out.join("link/x"), "in the way").unwrap();
    fs::write(out.join("other"), "stays").unwrap();
    fs::write(sandbox.directory().join("elsewhere"), "untouched").unwrap();
    fs::create_dir(out.join("d")).unwrap();
    symlink("../../elsewhere", out.join("d/a")).unwrap();
    build(&sandbox, &context, ["-o", out.to_str().unwrap(), "-t", "never"]).ok();
    let metadata = |path: &str| fs::symlink_metadata(out.join(path)).unwrap();
    assert_eq!(fs::read_to_string(out.join("d/a")).unwrap(), "a\n");
    assert_eq!(fs::read_to_string(sandbox.directory().join("elsewhere")).unwrap(), "untouched");
    assert_eq!(metadata("d/a").ino(), metadata("d/b").ino(), "one file stays one file");
    assert_eq!(metadata("d").permissions().mode() & 0o7777, 0o1777);
    assert_eq!((metadata("d/a").uid(), metadata("d/a").gid()), (0, 0), "all is whose who builds");
    assert_eq!(fs::read_link(out.join("link")).unwrap(), Path::new("nowhere"));
    assert_eq!(fs::read_to_string(out.join("other")).unwrap(), "stays");
    assert!(out.join("bin/busybox").exists() && !out.join("home").exists());
    sandbox.sampan(["image", "inspect", "never"]).fails(1);
    // There is no image to have an id.
    let iid = place(&sandbox, "iid");
    let quiet = ["build", "-q", "-o", out.to_str().unwrap(), "--iidfile", &iid, &context];
    sandbox.sampan(quiet).ok().prints("\n");
    assert_eq!(fs::read_to_string(iid).unwrap(), "");
    sandbox.is_clean();
}

#[test]
fn an_archive_has_the_files_with_their_owners() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, FILES);
    let archive = place(&sandbox, "files.tar");
    build(&sandbox, &context, ["-o", &format!("type=tar,dest={archive}")]).ok();
    let listed =
        std::process::Command::new("tar").args(["tvf", &archive, "--numeric-owner"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let has = |parts: [&str; 3]| listed.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(has(["-rw-r--r--", " 5/6 ", " d/a"]), "{listed}");
    assert!(has(["hrw-r--r--", " 5/6 ", " d/b link to d/a"]), "{listed}");
    assert!(has(["drwxrwxrwt", " 0/0 ", " d/"]), "{listed}");
    assert!(!listed.contains(" home/"), "{listed}");
    // The same bytes go to standard output.
    let piped = place(&sandbox, "piped.tar");
    let mut command = sandbox.command(["build", "-q", "-o", "-", &context]);
    assert!(command.stdout(fs::File::create(&piped).unwrap()).status().unwrap().success());
    let whole = fs::read(&piped).unwrap();
    assert!(whole.starts_with(&fs::read(&archive).unwrap()), "nothing but the archive, and the empty id");
}

#[test]
fn an_image_in_a_file_is_the_image() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM busybox\nCOPY hello /\nCMD [\"cat\", \"/hello\"]\n");
    let (oci, docker, layout) =
        (place(&sandbox, "oci"), place(&sandbox, "docker"), place(&sandbox, "layout"));
    let metadata = place(&sandbox, "metadata");
    let outputs = [
        "-t",
        "app:1",
        "-o",
        &format!("type=oci,dest={oci}"),
        "-o",
        &format!("type=docker,dest={docker}"),
        "-o",
        &format!("type=oci,tar=false,compression=zstd,dest={layout}"),
        "--metadata-file",
        &metadata,
        "--annotation",
        "made.by=me",
    ];
    build(&sandbox, &context, outputs).ok();
    sandbox.sampan(["image", "inspect", "app:1"]).fails(1);
    let metadata = fs::read_to_string(metadata).unwrap();
    assert!(metadata.contains("\"image.name\": \"docker.io/library/app:1\""), "{metadata}");
    assert!(metadata.contains("\"containerimage.digest\": \"sha256:"), "{metadata}");
    for archive in [&oci, &docker] {
        sandbox.sampan(["load", "-i", archive]).ok().says("Loaded image: app:1");
        assert!(metadata.contains(&inspect(&sandbox, "app:1", "{{.Id}}")), "{metadata}");
        sandbox.sampan(["run", "--rm", "app:1"]).ok().prints("hello\n");
        sandbox.sampan(["rmi", "app:1"]).ok();
    }
    let index = fs::read_to_string(Path::new(&layout).join("index.json")).unwrap();
    let digest = index.split("\"digest\":\"sha256:").nth(1).unwrap().split('"').next().unwrap();
    let manifest = fs::read_to_string(Path::new(&layout).join("blobs/sha256").join(digest)).unwrap();
    assert!(manifest.contains(r#""annotations":{"made.by":"me"}"#), "{manifest}");
    assert!(manifest.contains("tar+zstd"), "{manifest}");
    sandbox.is_clean();
}

#[test]
fn a_squashed_image_has_one_layer_above_its_base() {
    let Some(sandbox) = sandbox() else { return };
    let dockerfile = "FROM busybox\nRUN echo 1 > /a && rm /etc/group\nRUN echo 2 > /a && echo x > /b\nRUN rm /b\n\
                      CMD [\"sh\", \"-c\", \"cat /a; ls /b /etc/group\"]\n";
    let context = context(&sandbox, dockerfile);
    build(&sandbox, &context, ["-t", "squashed", "--squash"]).ok();
    assert_eq!(inspect(&sandbox, "squashed", "{{len .RootFS.Layers}}"), "2");
    let ran = sandbox.sampan(["run", "--rm", "squashed"]).fails(1);
    ran.prints("2\n").complains("/b: No such file").complains("/etc/group: No such file");
    sandbox.sampan(["history", "squashed"]).ok().says("merge sha256:");
}

#[test]
fn several_platforms_become_one_index() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let context = context(&sandbox, "FROM scratch\nARG TARGETARCH\nLABEL for=$TARGETARCH\nCOPY hello /\n");
    let name = format!("{}/me/both:1", registry.host());
    let platforms = ["--platform", "linux/amd64,linux/arm64"];
    let oci = place(&sandbox, "oci");
    let to_file = format!("type=oci,dest={oci}");
    build(&sandbox, &context, [platforms[0], platforms[1], "-t", &name, "--push", "-o", &to_file]).ok();
    for architecture in ["arm64", "amd64"] {
        let platform = format!("linux/{architecture}");
        sandbox.sampan(["pull", "--platform", &platform, &name]).ok();
        let shown = inspect(&sandbox, &name, "{{.Architecture}} {{.Config.Labels.for}}");
        assert_eq!(shown, format!("{architecture} {architecture}"));
        sandbox.sampan(["load", "--platform", &platform, "-i", &oci]).ok();
        assert_eq!(inspect(&sandbox, &name, "{{.Architecture}}"), architecture);
    }
    let out = sandbox.directory().join("out");
    build(&sandbox, &context, [platforms[0], platforms[1], "-o", out.to_str().unwrap()]).ok();
    assert!(out.join("linux_amd64/hello").exists() && out.join("linux_arm64/hello").exists());
    build(&sandbox, &context, [platforms[0], platforms[1], "-o", &format!("type=docker,dest={oci}")])
        .fails(1)
        .complains("docker exporter does not support exporting manifest lists, use the oci exporter instead");
}

#[test]
fn a_foreign_processor_needs_an_interpreter_for_run_only() {
    let Some(sandbox) = sandbox() else { return };
    let foreign = if cfg!(target_arch = "s390x") { "linux/riscv64" } else { "linux/s390x" };
    let context_of = |text: &str| context(&sandbox, text);
    build(&sandbox, &context_of("FROM scratch\nCOPY hello /\n"), ["--platform", foreign, "-t", "foreign"])
        .ok();
    build(&sandbox, &context_of("FROM foreign\nCOPY hello /there\n"), ["--platform", foreign]).ok();
    let run = build(&sandbox, &context_of("FROM foreign\nRUN /hello\n"), ["--platform", foreign]).fails(1);
    run.complains(&format!("this machine cannot run programs for {foreign}")).complains("binfmt_misc");
}

/// Another machine: an engine with a root of its own, which has busybox.
fn other_machine(sandbox: &Sandbox, name: &str) -> String {
    let (root, archive) = (place(sandbox, name), place(sandbox, "busybox.tar"));
    sandbox.sampan(["save", "-o", &archive, "busybox"]).ok();
    sandbox.sampan(["--root", &root, "load", "-i", &archive]).ok();
    root
}

const STEPS: &str = "FROM busybox AS one\nRUN date +%N > /when\nFROM busybox\nCOPY hello /\n\
                     RUN date +%N > /now\nCOPY --from=one /when /\n";

/// Builds on a machine; whether each step of the final stage was known, and the image.
fn rebuild(sandbox: &Sandbox, root: &str, context: &str, from: &str) -> Outcome {
    let arguments =
        ["--root", root, "build", "--progress", "plain", "-t", "app", "--cache-from", from, context];
    sandbox.sampan(arguments).ok()
}

#[test]
fn a_cache_in_a_directory_serves_another_machine() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, STEPS);
    let cache = place(&sandbox, "cache");
    let to = format!("type=local,mode=max,dest={cache}");
    build(&sandbox, &context, ["-t", "app", "--cache-to", &to])
        .ok()
        .complains("exporting cache to client directory");
    let other = other_machine(&sandbox, "other");
    let rebuilt = rebuild(&sandbox, &other, &context, &format!("type=local,src={cache}"));
    assert_eq!(rebuilt.stderr.matches("CACHED").count(), 4, "{rebuilt}");
    let id = |root: &str| {
        sandbox.sampan(["--root", root, "image", "inspect", "-f", "{{.Id}}", "app"]).ok().word().to_owned()
    };
    assert_eq!(id(&other), inspect(&sandbox, "app", "{{.Id}}"));
    // What came from outside is here now.
    let again = rebuild(&sandbox, &other, &context, "type=local,src=/nowhere");
    assert_eq!(again.stderr.matches("CACHED").count(), 4, "{again}");
    again.complains("importing cache manifest from /nowhere");
}

#[test]
fn a_cache_in_a_registry_brings_what_is_needed() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let context = context(&sandbox, STEPS);
    let cache = format!("{}/me/cache", registry.host());
    let to = format!("type=registry,mode=max,ref={cache}");
    build(&sandbox, &context, ["--cache-to", &to]).ok();
    let other = other_machine(&sandbox, "other");
    let rebuilt = rebuild(&sandbox, &other, &context, &cache);
    assert_eq!(rebuilt.stderr.matches("CACHED").count(), 4, "{rebuilt}");

    // An image carries the steps whose layers are its own.
    let image = format!("{}/me/image", registry.host());
    build(&sandbox, &context, ["-t", &image, "--push", "--cache-to", "type=inline"]).ok();
    let third = other_machine(&sandbox, "third");
    fs::write(
        sandbox.directory().join("context/Dockerfile"),
        "FROM busybox\nCOPY hello /\nRUN date +%N > /now\n",
    )
    .unwrap();
    let rebuilt = rebuild(&sandbox, &third, &context, &image);
    assert_eq!(rebuilt.stderr.matches("CACHED").count(), 2, "{rebuilt}");
}

#[test]
fn outputs_that_make_no_sense_are_refused_in_dockers_words() {
    let Some(sandbox) = sandbox() else { return };
    let context = context(&sandbox, "FROM scratch\nCOPY hello /\n");
    for (option, value, message) in [
        ("-o", "type=foo", r#"exporter "foo" could not be found"#),
        ("-o", "type=local", "dest is required for local exporter"),
        ("-o", "type=registry", "tag is needed when pushing to registry"),
        ("-o", "type=local,x", "invalid value x"),
        ("--annotation", "a", r#"invalid annotation "a", expected key=value"#),
        ("--annotation", "index:a=b", "index annotations not supported for single platform export"),
        ("--cache-to", "foo=x", r#"type required for "foo=x""#),
    ] {
        build(&sandbox, &context, [option, value]).fails(1).complains(message);
    }
    build(&sandbox, &context, ["--provenance=true", "--sbom=true", "--provenance=false"]).ok();
}
