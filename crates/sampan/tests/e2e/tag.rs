//! `tag`: one more name.

use crate::{inspect, sandbox};

#[test]
fn a_tag_is_another_name_of_the_same_image() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["tag", "busybox", "me/hello:v1.0"]).ok().prints("");
    assert_eq!(inspect(&sandbox, "me/hello:v1.0", "{{.Id}}"), inspect(&sandbox, "busybox", "{{.Id}}"));
    sandbox.sampan(["run", "--rm", "me/hello:v1.0", "echo", "hello"]).ok().prints("hello\n");
    let id = sandbox.sampan(["images", "-q", "busybox"]).ok();
    sandbox.sampan(["tag", &id.word()[..6], "by-id"]).ok();
    sandbox.sampan(["run", "--rm", "by-id", "true"]).ok();
}

#[test]
fn names_that_are_none_and_images_that_are_not_there_are_refused() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["tag", "nosuch", "me/hello"]).fails(1).complains("No such image: nosuch:latest");
    sandbox.sampan(["tag", "busybox", "Me/Hello"]).fails(1).complains("is not a valid repository/tag");
}
