//! `events`: what happened, and what happens.

use testkit::{Outcome, Sandbox};

use crate::{idle, inspect, sandbox};

/// All events so far that these options let through, in a form without times and ids.
#[track_caller]
fn events(sandbox: &Sandbox, options: &[&str]) -> Outcome {
    let template = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}";
    let always = ["events", "--since", "0", "--until", "0s", "--format", template];
    sandbox.sampan([&always, options].concat()).ok()
}

#[test]
fn a_containers_life_is_told_in_order() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "one", "--stop-timeout", "0"]);
    sandbox.sampan(["pause", "one"]).ok();
    sandbox.sampan(["unpause", "one"]).ok();
    sandbox.sampan(["exec", "one", "true"]).ok();
    sandbox.sampan(["update", "--pids-limit", "9", "one"]).ok();
    sandbox.sampan(["rename", "one", "two"]).ok();
    sandbox.sampan(["top", "two"]).ok();
    sandbox.sampan(["restart", "two"]).ok();
    sandbox.sampan(["kill", "two"]).ok();
    sandbox.sampan(["rm", "two"]).ok();
    let expected = "container create one
network connect bridge
container start one
container pause one
container unpause one
container exec_create: true one
container exec_start: true one
container exec_die one
container update one
container rename two
container top two
container kill two
container kill two
container die two
container stop two
network connect bridge
container start two
container restart two
container kill two
container die two
container destroy two
";
    let kinds = ["--filter", "type=container", "--filter", "type=network"];
    let told = events(&sandbox, &kinds);
    let without_network = |text: &str| text.replace("network create bridge\n", "");
    assert_eq!(without_network(&told.stdout), expected, "{told}");
    events(&sandbox, &["--filter", "container=one", "--filter", "event=pause"])
        .prints("container pause one\n");
}

#[test]
fn an_event_is_written_as_docker_writes_it() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "--name", "one", "--label", "b=c", "busybox", "sh", "-c", "exit 3"]).fails(3);
    let id = inspect(&sandbox, "one", "{{.Id}}");
    let told = sandbox.sampan(["events", "--since", "1h", "--until", "0s", "--filter", "event=die"]).ok();
    let line = told.word();
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.len() >= "2026-01-02T03:04:05.000000000Z".len(), "{told}");
    let expected = format!("container die {id} (b=c, execDuration=0, exitCode=3, image=busybox, name=one)");
    assert_eq!(rest, expected);
    sandbox
        .sampan(["events", "--since", "1h", "--until", "0s", "--filter", "event=die", "--format", "json"])
        .ok()
        .says(&format!("{{\"status\":\"die\",\"id\":\"{id}\",\"from\":\"busybox\",\"Type\":\"container\""));
    sandbox
        .sampan(["events", "--filter", "x=y"])
        .fails(1)
        .complains("Error response from daemon: invalid filter 'x'");
}

#[test]
fn what_happens_while_somebody_listens_is_told_at_once() {
    let Some(sandbox) = sandbox() else { return };
    let mut listening = sandbox.start_sampan(["events", "--since", "0", "--format", "{{.Action}}"]);
    listening.wait_for("load");
    sandbox.sampan(["tag", "busybox", "box"]).ok();
    listening.wait_for("tag");
    sandbox.sampan(["run", "--rm", "busybox", "true"]).ok();
    listening.wait_for("destroy");
    sandbox.sampan(["rmi", "box"]).ok();
    listening.wait_for("untag");
}
