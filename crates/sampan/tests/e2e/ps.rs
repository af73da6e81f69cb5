//! `ps`: docker's columns, and what is in them.

use crate::{idle, sandbox};

#[test]
fn the_table_has_dockers_columns() {
    let Some(sandbox) = sandbox() else { return };
    sandbox
        .sampan(["ps"])
        .ok()
        .prints("CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n");
    let id = sandbox
        .sampan([
            "run",
            "-d",
            "--name",
            "web",
            "-p",
            "127.0.0.1:4000:80",
            "busybox",
            "tail",
            "-f",
            "/dev/null",
        ])
        .ok()
        .word()[..12]
        .to_owned();
    let listed = sandbox.sampan(["ps"]).ok();
    let lines = listed.lines();
    assert_eq!(lines.len(), 2, "{listed}");
    let at = |name: &str| lines[0].find(name).unwrap();
    let cell = |from: &str, to: &str| lines[1][at(from)..at(to)].trim_end();
    assert_eq!(cell("CONTAINER ID", "IMAGE"), id);
    assert_eq!(cell("IMAGE", "COMMAND"), "busybox");
    assert_eq!(cell("COMMAND", "CREATED"), "\"tail -f /dev/null\"");
    assert!(cell("CREATED", "STATUS").ends_with(" ago"), "{listed}");
    assert!(cell("STATUS", "PORTS").starts_with("Up "), "{listed}");
    assert_eq!(cell("PORTS", "NAMES"), "127.0.0.1:4000->80/tcp");
    assert_eq!(&lines[1][at("NAMES")..], "web");
}

#[test]
fn only_running_containers_are_shown_unless_all_are_asked_for() {
    let Some(sandbox) = sandbox() else { return };
    let running = idle(&sandbox, &["--name", "on"]);
    sandbox.sampan(["run", "--name", "off", "busybox", "sh", "-c", "exit 3"]).fails(3);
    sandbox.sampan(["ps", "-q"]).ok().prints(&format!("{}\n", &running[..12]));
    sandbox.sampan(["ps", "-q", "--no-trunc"]).ok().prints(&format!("{running}\n"));
    let all = sandbox.sampan(["ps", "-a", "--format", "{{.Names}}: {{.Status}}"]).ok();
    let lines = all.lines();
    assert!(lines[0].starts_with("off: Exited (3) ") && lines[0].ends_with(" ago"), "{all}");
    assert!(lines[1].starts_with("on: Up "), "{all}");
    sandbox.sampan(["ps", "-l", "--format", "{{.Names}}"]).ok().prints("off\n");
    sandbox.sampan(["ps", "-n", "2", "--format", "{{.Names}}"]).ok().prints("off\non\n");
}

#[test]
fn filters_choose() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "web", "--label", "tier=front"]);
    sandbox
        .sampan(["run", "--name", "job", "--label", "tier=back", "busybox", "sh", "-c", "exit 2"])
        .fails(2);
    for (filter, expected) in [
        ("", "job\nweb\n"),
        ("name=we", "web\n"),
        ("label=tier", "job\nweb\n"),
        ("label=tier=back", "job\n"),
        ("status=exited", "job\n"),
        ("exited=2", "job\n"),
        ("exited=0", ""),
        ("ancestor=busybox", "job\nweb\n"),
        ("network=bridge", "job\nweb\n"),
    ] {
        sandbox.sampan(["ps", "-a", "--filter", filter, "--format", "{{.Names}}"]).ok().prints(expected);
    }
    sandbox.sampan(["ps", "--filter", "nosuch=1"]).fails(1).complains("invalid filter 'nosuch'");
}

#[test]
fn each_container_is_one_object_of_json() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "web"]);
    let outcome = sandbox.sampan(["ps", "--format", "json"]).ok();
    let value: serde_json::Value = serde_json::from_str(outcome.word()).unwrap();
    assert_eq!(value["Names"], "web");
    assert_eq!(value["State"], "running");
    assert_eq!(value["Image"], "busybox");
}
