//! `run --mount`, `--tmpfs`, `--volumes-from`, and what `-v` takes besides.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::PathBuf,
    process::Command,
};

use testkit::Sandbox;

use crate::{idle, inspect, sandbox, shell};

/// A directory of the host with a file, in which another file system is mounted while this lives.
struct Nested {
    directory: PathBuf,
}

impl Nested {
    fn new(sandbox: &Sandbox) -> Nested {
        let directory = sandbox.directory().join("nested");
        fs::create_dir_all(directory.join("below")).unwrap();
        fs::write(directory.join("file"), "above").unwrap();
        let status =
            Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(directory.join("below")).status();
        assert!(status.unwrap().success());
        fs::write(directory.join("below/file"), "below").unwrap();
        Nested { directory }
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.directory.join("below")).status());
    }
}

#[test]
fn directories_volumes_and_memory_are_mounted_by_their_fields() {
    let Some(sandbox) = sandbox() else { return };
    let file = sandbox.file("file", "of the host\n");
    let bind = format!("type=bind,source={},target=/host,readonly", sandbox.directory().display());
    let options = [
        "--mount",
        &bind,
        "--mount",
        "src=data,dst=/data",
        "--mount",
        "type=tmpfs,dst=/m,tmpfs-size=64k,tmpfs-mode=700",
    ];
    shell(
        &sandbox,
        &options,
        "cat /host/file; touch /host/x || touch /data/x; stat -c %a /m; grep ' /m tmpfs' /proc/mounts",
    )
    .ok()
    .says("of the host\n700\n")
    .says("size=64k");
    assert_eq!(fs::read_to_string(file).unwrap(), "of the host\n");
    assert!(sandbox.root().join("volumes/data/_data/x").exists());
}

#[test]
fn what_a_mount_needs_and_is_not_there_is_an_error() {
    let Some(sandbox) = sandbox() else { return };
    let refused = |mount: &str, code: i32, why: &str| {
        drop(sandbox.sampan(["run", "--mount", mount, "busybox"]).fails(code).complains(why));
    };
    refused(
        "type=bind,src=/no/such,dst=/x",
        125,
        "Error response from daemon: invalid mount config for type \"bind\": bind source path does not exist: /no/such\n",
    );
    refused(
        "type=bind,dst=/x",
        125,
        "invalid mount config for type \"bind\": field Source must not be empty",
    );
    refused("type=image,src=nosuch,dst=/x", 125, "No such image: nosuch:latest");
    refused(
        "src=data,dst=/x,volume-driver=odd",
        125,
        "error looking up volume plugin odd: plugin \"odd\" not found",
    );
    let made = sandbox.directory().join("made");
    let mount = format!("type=bind,src={},dst=/x,bind-create-src", made.display());
    sandbox.sampan(["run", "--rm", "--mount", &mount, "busybox", "touch", "/x/file"]).ok();
    assert!(made.join("file").exists());
}

#[test]
fn a_file_and_a_directory_are_not_mounted_on_each_other() {
    let Some(sandbox) = sandbox() else { return };
    let question = "Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists \
                    and is the expected type\n";
    for (options, source, place) in [
        (["-v", "/etc/hostname:/tmp"], "/etc/hostname", "/tmp"),
        (["-v", "/tmp:/etc/passwd"], "/tmp", "/etc/passwd"),
        (["-v", "/etc/hostname:/etc/passwd/below"], "/etc/hostname", "/etc/passwd/below"),
        (["--tmpfs", "/etc/passwd"], "tmpfs", "/etc/passwd"),
    ] {
        let [option, value] = options;
        sandbox
            .sampan(["run", "--rm", option, value, "busybox", "true"])
            .fails(125)
            .complains(&format!(
                "error mounting {source:?} to rootfs at {place:?}: not a directory: {question}"
            ))
            .complains("hint: a file can only be mounted on a file");
    }
    sandbox.sampan(["create", "--name", "web", "-v", "/etc/hostname:/tmp", "busybox", "true"]).ok();
    sandbox.sampan(["start", "web"]).fails(1).complains(question);
    assert_eq!(inspect(&sandbox, "web", "{{.State.Status}} {{.State.ExitCode}}"), "created 127");
}

#[test]
fn what_is_mounted_below_comes_along_as_it_is_told() {
    let Some(sandbox) = sandbox() else { return };
    let nested = Nested::new(&sandbox);
    let mount = |options: &str| {
        let mount = format!("type=bind,src={},dst=/n{options}", nested.directory.display());
        let script = "cat /n/below/file; touch /n/new 2> /dev/null && echo -n ' top'; \
                      touch /n/below/new 2> /dev/null && echo -n ' below'; true";
        let outcome = shell(&sandbox, &["--mount", &mount], script).ok();
        outcome.stdout
    };
    assert_eq!(mount(""), "below top below");
    assert_eq!(mount(",readonly"), "below");
    assert_eq!(mount(",readonly,bind-recursive=writable"), "below below");
    assert_eq!(mount(",readonly,bind-recursive=readonly,bind-propagation=rprivate"), "below");
    assert_eq!(mount(",bind-recursive=disabled"), " top below");
}

#[test]
fn a_part_of_a_volume_can_be_mounted() {
    let Some(sandbox) = sandbox() else { return };
    shell(
        &sandbox,
        &["-v", "data:/data"],
        "mkdir -p /data/a/b; echo deep > /data/a/b/file; ln -s /etc /data/out",
    )
    .ok();
    let mount = |path: &str| format!("src=data,dst=/part,volume-subpath={path}");
    shell(&sandbox, &["--mount", &mount("a/b")], "cat /part/file").ok().prints("deep\n");
    shell(&sandbox, &["--mount", &mount("nosuch")], "true").fails(125);
    // A link in the volume leads nowhere outside of it.
    shell(&sandbox, &["--mount", &mount("out")], "ls /part").fails(125);
}

#[test]
fn the_files_of_an_image_can_be_mounted_and_stay_as_they_are() {
    let Some(sandbox) = sandbox() else { return };
    let dockerfile = "FROM busybox\nRUN echo content > /file && mkdir /dir && echo deep > /dir/file\n";
    let context = sandbox.directory().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    sandbox.sampan(["build", "-q", "-t", "files", context.to_str().unwrap()]).ok();
    let script = "cat /i/file; ls /i/bin/busybox; touch /i/x";
    shell(&sandbox, &["--mount", "type=image,src=files,dst=/i"], script)
        .fails(1)
        .prints("content\n/i/bin/busybox\n")
        .complains("Read-only");
    shell(&sandbox, &["--mount", "type=image,src=files,dst=/i,image-subpath=dir"], "cat /i/file")
        .ok()
        .prints("deep\n");
    // It stays while a container has it.
    sandbox
        .sampan([
            "create",
            "--name",
            "one",
            "--mount",
            "type=image,src=files,dst=/i",
            "busybox",
            "cat",
            "/i/file",
        ])
        .ok();
    sandbox.sampan(["rmi", "files"]).ok();
    sandbox.sampan(["builder", "prune", "-af"]).ok();
    sandbox.sampan(["start", "-a", "one"]).ok().prints("content\n");
}

#[test]
fn the_volumes_of_another_container_are_had_too() {
    let Some(sandbox) = sandbox() else { return };
    let directory = sandbox.directory().display().to_string();
    idle(
        &sandbox,
        &[
            "--name",
            "one",
            "-v",
            "data:/data",
            "-v",
            "/anonymous",
            "-v",
            &format!("{directory}:/host"),
            "--tmpfs",
            "/memory",
        ],
    );
    sandbox.sampan(["exec", "one", "sh", "-c", "echo a > /data/file; echo b > /anonymous/file"]).ok();
    let script = "cat /data/file /anonymous/file; ls -d /host/root /memory";
    shell(&sandbox, &["--volumes-from", "one"], script)
        .fails(1)
        .prints("a\nb\n/host/root\n")
        .complains("/memory");
    shell(&sandbox, &["--volumes-from", "one:ro"], "touch /data/x").fails(1).complains("Read-only");
    shell(&sandbox, &["--volumes-from", "one", "-v", "other:/data"], "ls /data").ok().prints("");
    sandbox
        .sampan(["run", "--volumes-from", "nobody", "busybox"])
        .fails(125)
        .complains("No such container: nobody");
    sandbox.sampan(["run", "--volumes-from", "one:odd", "busybox"]).fails(125).complains("invalid mode: odd");
    // The anonymous volume is the first one's still.
    sandbox.sampan(["exec", "one", "cat", "/anonymous/file"]).ok().prints("b\n");
}

#[test]
fn a_volume_is_made_with_what_its_mount_says() {
    let Some(sandbox) = sandbox() else { return };
    let mount = "src=memory,dst=/m,volume-label=a=b,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=64k";
    shell(&sandbox, &["--mount", mount], "grep ' /m tmpfs' /proc/mounts").ok().says("size=64k");
    let template = "{{json .Labels}} {{.Options.o}}";
    sandbox.sampan(["volume", "inspect", "-f", template, "memory"]).ok().prints("{\"a\":\"b\"} size=64k\n");
}

/// Files of one user of the host appear as the container's user's, and what that one makes is the other's outside.
#[test]
fn owners_can_change_places() {
    let Some(sandbox) = sandbox() else { return };
    let directory = sandbox.directory().join("home");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("file"), "mine\n").unwrap();
    for path in [&directory, &directory.join("file")] {
        chown(path, Some(1234), Some(1234)).unwrap();
    }
    for option in ["idmap", "U"] {
        let volume = format!("{}:/home:{option}", directory.display());
        let script = "stat -c '%u:%g' /home/file; echo new > /home/made && stat -c '%u:%g' /home/made";
        shell(&sandbox, &["-v", &volume, "-u", "55:66"], script).ok().prints("55:66\n55:66\n");
        let made = fs::metadata(directory.join("made")).unwrap();
        assert_eq!((made.uid(), made.gid()), (1234, 1234));
        fs::remove_file(directory.join("made")).unwrap();
    }
}

#[test]
fn what_an_image_has_in_a_volume_comes_with_its_attributes() {
    let Some(sandbox) = sandbox() else { return };
    let dockerfile = "FROM busybox\nRUN mkdir -p /data/d && echo x > /data/d/f && chown -R 7:8 /data && chmod 2750 /data/d \
                      && chmod 4711 /data/d/f && ln -s d/f /data/l && ln /data/d/f /data/h && mkfifo /data/p\nVOLUME /data\n";
    let context = sandbox.directory().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    sandbox.sampan(["build", "-q", "-t", "files", context.to_str().unwrap()]).ok();
    let script = "cd /data; stat -c '%n %a %u:%g' . d d/f; readlink l; stat -c %F p; stat -c %h h";
    sandbox
        .sampan(["run", "--rm", "files", "sh", "-c", script])
        .ok()
        .prints(". 755 7:8\nd 2750 7:8\nd/f 4711 7:8\nd/f\nfifo\n2\n");
}

#[test]
fn inspect_tells_mounts_of_every_kind() {
    let Some(sandbox) = sandbox() else { return };
    let options = ["--mount", "type=image,src=busybox,dst=/i", "--tmpfs", "/t", "-v", "data:/v"];
    sandbox.sampan([&["create", "--name", "one"], &options[..], &["busybox"]].concat()).ok();
    let template = "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}};{{end}}";
    let told = inspect(&sandbox, "one", template);
    assert!(told.contains("image /i false;") && told.contains("volume /v true;"), "{told}");
}
