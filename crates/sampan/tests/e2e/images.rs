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

#[test]
fn a_name_is_a_pattern() {
    let Some(sandbox) = sandbox() else { return };
    for name in ["me/tools:v1", "me/tools:v2", "localhost:5000/me/tools:v1"] {
        sandbox.sampan(["tag", "busybox", name]).ok();
    }
    let names = |arguments: &[&str]| {
        let listed = [&["images", "--format", "{{.Repository}}:{{.Tag}}"], arguments].concat();
        sandbox.sampan(listed).ok().stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&["me/*"]), ["me/tools:v1", "me/tools:v2"]);
    assert_eq!(names(&["*/tools:v[2-9]"]), ["me/tools:v2"]);
    assert_eq!(
        names(&["-f", "reference=busy?ox", "-f", "reference=local*/*/*"]),
        ["busybox:latest", "localhost:5000/me/tools:v1"]
    );
    sandbox.sampan(["images", "b["]).fails(1).complains("syntax error in pattern");
}

#[test]
fn filters_select_and_what_is_none_is_named() {
    let Some(sandbox) = sandbox() else { return };
    let context = sandbox.directory().join("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("Dockerfile"), "FROM busybox\nCOPY Dockerfile /\nLABEL tier=front\n")
        .unwrap();
    let id = sandbox.sampan(["build", "-q", "-t", "app", context.to_str().unwrap()]).ok().word().to_owned();
    let names = |filter: &str| {
        sandbox.sampan(["images", "--format", "{{.Repository}}", "--filter", filter]).ok().stdout
    };
    for (filter, expected) in [
        ("label=tier", "app\n"),
        ("label=tier=front", "app\n"),
        ("label=tier=back", ""),
        ("before=app", "busybox\n"),
        ("since=busybox", "app\n"),
        ("until=24h", "busybox\n"),
        ("dangling=true", ""),
        ("dangling=false", "app\nbusybox\n"),
    ] {
        assert_eq!(names(filter), expected, "{filter}");
    }
    sandbox.sampan(["tag", "busybox", "app"]).ok();
    assert_eq!(names("dangling=true"), "<none>\n");
    let dangling = sandbox.sampan(["images", "-q", "--no-trunc", "-f", "dangling=true"]).ok();
    assert_eq!(dangling.word(), id);
    for (filter, code, message) in [
        ("color=red", 1, "invalid filter 'color'"),
        ("dangling=maybe", 1, "invalid filter 'dangling=[maybe]'"),
        ("before=nosuch", 1, "No such image: nosuch:latest"),
        (
            "label",
            125,
            "invalid argument \"label\" for \"-f, --filter\" flag: bad format of filter (expected name=value)",
        ),
    ] {
        sandbox.sampan(["images", "--filter", filter]).fails(code).complains(message);
    }
}

#[test]
fn what_images_share_is_told_if_asked_for() {
    let Some(sandbox) = sandbox() else { return };
    crate::history::build(&sandbox, "app");
    sandbox.sampan(["create", "busybox"]).ok();
    let format = "{{.Repository}} {{.SharedSize}} {{.UniqueSize}} {{.Containers}}";
    let listed = sandbox.sampan(["images", "--format", format]).ok();
    let words: Vec<Vec<&str>> = listed.lines().iter().map(|line| line.split(' ').collect()).collect();
    assert_eq!((words[0][0], words[0][2], words[0][3]), ("app", "1kB", "0"), "{listed}");
    assert_eq!((words[1][0], words[1][2], words[1][3]), ("busybox", "0B", "1"), "{listed}");
    assert_eq!(words[0][1], words[1][1], "{listed}");
}
