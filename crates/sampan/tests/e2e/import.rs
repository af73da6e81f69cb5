//! `import`: an image from the files of a root file system.

use crate::{inspect, sandbox};

#[test]
fn a_tree_becomes_an_image() {
    let Some(sandbox) = sandbox() else { return };
    let script = "tar -c -f - bin etc";
    let mut make = sandbox.shell(&format!("$SAMPAN run --rm busybox {script} > tree.tar"));
    make.current_dir(sandbox.directory());
    sandbox.start(make).finish().ok();
    let tree = sandbox.directory().join("tree.tar");
    let id = sandbox.sampan(["import", tree.to_str().unwrap(), "me/small:v1"]).ok().word().to_owned();
    assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
    assert_eq!(inspect(&sandbox, "me/small:v1", "{{.Id}}"), id);
    sandbox.sampan(["run", "--rm", "me/small:v1", "ls", "/"]).ok().says("bin\n").says("etc\n");
    sandbox.sampan(["run", "--rm", "me/small:v1"]).fails(125).complains("no command specified");

    let mut import = sandbox.command(["import", "-"]);
    import.stdin(std::fs::File::open(tree).unwrap());
    let nameless = sandbox.start(import).finish().ok().word().to_owned();
    sandbox.sampan(["run", "--rm", &nameless, "true"]).ok();
}

#[test]
fn what_is_no_tree_is_refused() {
    let Some(sandbox) = sandbox() else { return };
    let before = sandbox.files();
    let path = sandbox.file("text", "no archive at all");
    sandbox.sampan(["import", &path, "me/small"]).fails(1);
    sandbox
        .sampan(["import", "/nosuch", "me/small"])
        .fails(1)
        .complains("open /nosuch: no such file or directory");
    assert_eq!(sandbox.files(), before);
}
