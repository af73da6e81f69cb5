//! `run -v`: directories of the host, and volumes.

use std::fs;

use testkit::Sandbox;

use crate::{inspect, sandbox, shell};

fn volumes(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.root().join("volumes")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_directory_of_the_host_is_shared() {
    let Some(sandbox) = sandbox() else { return };
    let directory = sandbox.directory().join("shared");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("from-host"), "hello").unwrap();
    let option = format!("{}:/mnt/shared", directory.display());
    shell(&sandbox, &["-v", &option], "cat /mnt/shared/from-host; echo back > /mnt/shared/from-inside")
        .ok()
        .prints("hello");
    assert_eq!(fs::read_to_string(directory.join("from-inside")).unwrap(), "back\n");
}

#[test]
fn a_directory_that_is_missing_is_made() {
    let Some(sandbox) = sandbox() else { return };
    let directory = sandbox.directory().join("not/there");
    shell(&sandbox, &["-v", &format!("{}:/mnt", directory.display())], "touch /mnt/file").ok();
    assert!(directory.join("file").exists());
}

#[test]
fn one_file_can_be_shared() {
    let Some(sandbox) = sandbox() else { return };
    let file = sandbox.file("motd", "of the host\n");
    shell(&sandbox, &["-v", &format!("{file}:/etc/motd")], "cat /etc/motd").ok().prints("of the host\n");
}

#[test]
fn read_only_is_read_only_below_too() {
    let Some(sandbox) = sandbox() else { return };
    let file = sandbox.file("file", "content");
    let directory = sandbox.directory().display();
    shell(&sandbox, &["-v", &format!("{directory}:/mnt:ro")], "cat /mnt/file; touch /mnt/new")
        .fails(1)
        .prints("content")
        .complains("Read-only");
    shell(&sandbox, &["-v", &format!("{file}:/file:ro")], "echo x > /file").fails(1);
    assert_eq!(fs::read_to_string(file).unwrap(), "content");
}

#[test]
fn a_named_volume_outlives_its_containers() {
    let Some(sandbox) = sandbox() else { return };
    shell(&sandbox, &["-v", "data:/data"], "echo kept > /data/file").ok();
    shell(&sandbox, &["-v", "data:/elsewhere"], "cat /elsewhere/file").ok().prints("kept\n");
    assert_eq!(volumes(&sandbox), ["data"]);
    shell(&sandbox, &["-v", "data:/data:ro"], "rm /data/file").fails(1);
}

#[test]
fn an_empty_volume_is_filled_with_what_the_image_has_there() {
    let Some(sandbox) = sandbox() else { return };
    shell(
        &sandbox,
        &["-v", "etc:/etc"],
        "grep -c ^root: /etc/passwd; stat -c %a /etc; echo mine > /etc/passwd",
    )
    .ok()
    .prints("1\n755\n");
    shell(&sandbox, &["-v", "etc:/etc"], "cat /etc/passwd").ok().prints("mine\n");
    shell(&sandbox, &["-v", "bare:/etc:nocopy"], "ls /etc/passwd").fails(1);
    shell(&sandbox, &["-v", "tmp:/tmp"], "stat -c %a /tmp").ok().prints("1777\n");
}

#[test]
fn an_anonymous_volume_goes_with_rm_and_rm_v_and_otherwise_stays() {
    let Some(sandbox) = sandbox() else { return };
    shell(&sandbox, &["-v", "/data"], "touch /data/file; grep -c ' /data ' /proc/mounts").ok().prints("1\n");
    assert!(volumes(&sandbox).is_empty());
    for (name, arguments, left) in [("one", &["rm", "-v", "one"][..], 0), ("two", &["rm", "two"], 1)] {
        sandbox.sampan(["run", "--name", name, "-v", "/data", "busybox", "true"]).ok();
        sandbox.sampan(arguments).ok();
        assert_eq!(volumes(&sandbox).len(), left, "{arguments:?}");
    }
}

#[test]
fn named_volumes_survive_rm_v() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "--name", "one", "-v", "data:/data", "busybox", "touch", "/data/file"]).ok();
    sandbox.sampan(["rm", "-v", "one"]).ok();
    assert_eq!(volumes(&sandbox), ["data"]);
    assert!(sandbox.root().join("volumes/data/_data/file").exists());
}

#[test]
fn tmpfs_is_memory_with_the_options_given() {
    let Some(sandbox) = sandbox() else { return };
    shell(
        &sandbox,
        &["--tmpfs", "/cache:size=64k,mode=700"],
        "stat -c %a /cache; grep ' /cache tmpfs' /proc/mounts; dd if=/dev/zero of=/cache/x bs=128k count=1",
    )
    .fails(1)
    .says("700\n")
    .says("nosuid,nodev,noexec")
    .says("size=64k")
    .complains("No space left");
}

#[test]
fn a_volumes_file_system_can_be_written_where_the_root_is_read_only() {
    let Some(sandbox) = sandbox() else { return };
    let script = "touch /file 2> /dev/null || echo root is closed; touch /data/file && echo volume is open";
    shell(&sandbox, &["--read-only", "-v", "data:/data"], script)
        .ok()
        .prints("root is closed\nvolume is open\n");
}

#[test]
fn mounts_are_seen_in_inspect() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["create", "--name", "one", "-v", "data:/data:ro", "-v", "/srv:/srv", "busybox"]).ok();
    let template = "{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}};{{end}}";
    assert_eq!(inspect(&sandbox, "one", template), "volume /data false;bind /srv true;");
}

#[test]
fn a_link_in_the_image_does_not_lead_a_mount_out_of_the_container() {
    let Some(sandbox) = sandbox() else { return };
    let outside = sandbox.directory().join("outside");
    fs::create_dir(&outside).unwrap();
    // The first container's own layer becomes the second's by way of a start again.
    let script = "[ -e /escape ] && exit; ln -s /../../../../../..$OUTSIDE /escape";
    let env = format!("OUTSIDE={}", outside.display());
    sandbox
        .sampan([
            "run",
            "--name",
            "sly",
            "-e",
            &env,
            "-v",
            "data:/escape/made",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
    sandbox.sampan(["start", "-a", "sly"]).ok();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}
