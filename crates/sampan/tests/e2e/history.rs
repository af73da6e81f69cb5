//! `history`: how an image came about.

use std::fs;

use testkit::Sandbox;

use crate::{inspect, sandbox};

/// Builds `name` of busybox with three steps, one of which adds a file of 1,000 bytes; its id.
pub fn build(sandbox: &Sandbox, name: &str) -> String {
    let context = sandbox.directory().join("context");
    fs::create_dir_all(&context).unwrap();
    fs::write(context.join("data"), [b'x'; 1000]).unwrap();
    let dockerfile =
        "FROM busybox\nENV a=b\nCOPY data /a/rather/long/path/so/that/the/step/is/cut/off\nCMD [\"sh\"]\n";
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    sandbox.sampan(["build", "-q", "-t", name, context.to_str().unwrap()]).ok().word().to_owned()
}

#[test]
fn the_last_step_comes_first_and_has_the_images_id() {
    let Some(sandbox) = sandbox() else { return };
    let id = build(&sandbox, "app");
    let listed = sandbox.sampan(["history", "app"]).ok();
    let lines = listed.lines();
    let columns: Vec<&str> = lines[0].split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(columns, ["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
    let at = |name: &str| lines[0].find(name).unwrap();
    assert!(lines[1].starts_with(&id["sha256:".len()..][..12]), "{listed}");
    assert_eq!(&lines[1][at("CREATED BY")..at("SIZE")].trim_end(), &"CMD [\"sh\"]");
    assert_eq!(lines[1][at("SIZE")..at("COMMENT")].trim_end(), "0B");
    assert!(lines[2].starts_with("<missing> "), "{listed}");
    assert!(lines[2].contains("COPY data /a/rather/long/path/so/that/the/st…"), "{listed}");
    assert!(lines[2].contains(" 1kB "), "{listed}");
    assert!(lines[4].contains("MB"), "{listed}");
    assert_eq!(lines.len(), 5, "{listed}");
    assert_eq!(sandbox.sampan(["image", "history", "app"]).ok().lines().len(), 5);
}

#[test]
fn nothing_is_cut_and_sizes_and_times_are_exact_if_asked_for() {
    let Some(sandbox) = sandbox() else { return };
    let id = build(&sandbox, "app");
    let whole = sandbox.sampan(["history", "--no-trunc", "-H=false", "app"]).ok();
    assert!(whole.lines()[1].starts_with(&id), "{whole}");
    assert!(whole.lines()[0].contains("CREATED AT"), "{whole}");
    assert!(whole.lines()[2].contains("/cut/off # buildkit"), "{whole}");
    assert!(whole.lines()[2].contains(" 1000 "), "{whole}");
    let short = &id["sha256:".len()..][..12];
    let ids = format!("{short}\n<missing>\n<missing>\n<missing>\n");
    sandbox.sampan(["history", "-q", "app"]).ok().prints(&ids);
    let steps = sandbox.sampan(["history", "--format", "{{.Size}} {{.CreatedBy}}", "app"]).ok();
    assert_eq!(steps.lines()[0], "0B CMD [\"sh\"]");
}

#[test]
fn what_is_not_there_or_for_another_machine_has_no_history() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["history", "nosuch"]).fails(1).complains("No such image: nosuch:latest");
    let has = inspect(&sandbox, "busybox", "{{.Os}}/{{.Architecture}}");
    sandbox.sampan(["history", "--platform", &has, "busybox"]).ok();
    for command in [&["history"][..], &["save", "-o", "x"], &["image", "inspect"], &["rmi"]] {
        let arguments = [command, &["--platform", "linux/s390x", "busybox"]].concat();
        sandbox.sampan(arguments).fails(1).complains(&format!(
            "image with reference busybox was found but its platform ({has}) does not match the specified platform \
             (linux/s390x)"
        ));
    }
}
