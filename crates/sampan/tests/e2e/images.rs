//! `images`: docker's columns, and what is in them.

use crate::sandbox;

#[test]
fn the_table_has_dockers_columns() {
    let Some(sandbox) = sandbox() else { return };
    let listed = sandbox.sampan(["images"]).ok();
    let lines = listed.lines();
    assert_eq!(lines.len(), 2, "{listed}");
    let columns: Vec<&str> = lines[0].split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(columns, ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
    let at = |name: &str| lines[0].find(name).unwrap();
    assert_eq!(lines[1][..at("TAG")].trim_end(), "busybox");
    assert_eq!(lines[1][at("TAG")..at("IMAGE ID")].trim_end(), "latest");
    assert!(lines[1][at("CREATED")..at("SIZE")].trim_end().ends_with(" ago"), "{listed}");
    assert!(lines[1].ends_with("MB"), "{listed}");
    let id = lines[1][at("IMAGE ID")..at("CREATED")].trim_end();
    sandbox.sampan(["images", "-q"]).ok().prints(&format!("{id}\n"));
    sandbox.sampan(["images", "-a", "-q"]).ok().prints(&format!("{id}\n"));
    sandbox.sampan(["images", "-q", "--no-trunc"]).ok().says(&format!("sha256:{id}"));
}

#[test]
fn a_repository_or_one_name_can_be_asked_for() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["tag", "busybox", "me/tools:v1"]).ok();
    sandbox.sampan(["tag", "busybox", "me/tools:v2"]).ok();
    let names =
        |what: &str| sandbox.sampan(["images", "--format", "{{.Repository}}:{{.Tag}}", what]).ok().stdout;
    assert_eq!(names("me/tools:v1"), "me/tools:v1\n");
    assert_eq!(names("me/tools").lines().count(), 2);
    assert_eq!(names("busybox"), "busybox:latest\n");
    assert_eq!(names("nosuch"), "");
}
