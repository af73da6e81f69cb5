//! `events`: what happened, and what happens.

use testkit::{Outcome, Registry, Sandbox};

use crate::{history::build, idle, inspect, sandbox};

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
container exec_create: true  one
container exec_start: true  one
container exec_die one
container update one
container rename two
container top two
container kill two
container kill two
network disconnect bridge
container stop two
container die two
network connect bridge
container start two
container restart two
container kill two
network disconnect bridge
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
}

#[test]
fn the_end_of_a_process_that_was_left_alone_is_told_of() {
    let Some(sandbox) = sandbox() else { return };
    idle(&sandbox, &["--name", "one", "--stop-timeout", "0"]);
    let template = "{{.Action}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.execID}}";
    let filters = ["--filter", "event=exec_start", "--filter", "event=exec_die", "--format", template];
    let mut listening = sandbox.start_sampan([&["events", "--since", "0"], &filters[..]].concat());
    sandbox.sampan(["exec", "--detach", "one", "sh", "-c", "exit 3"]).ok();
    listening.wait_for("exec_die 3 ");
    sandbox.sampan(["exec", "--detach", "--tty", "one", "sh", "-c", "kill -9 $$"]).ok();
    listening.wait_for("exec_die 137 ");
    // What runs until the container ends has ended before it.
    sandbox.sampan(["exec", "--detach", "one", "tail", "-f", "/dev/null"]).ok();
    sandbox.sampan(["exec", "--detach", "one", "nosuch"]).fails(1);
    sandbox.sampan(["stop", "one"]).ok();
    let all = ["events", "--since", "0", "--until", "0s", "--filter", "container=one", "--format", template];
    let told = sandbox.sampan(all).ok();
    let told: Vec<&str> = told.lines().into_iter().filter(|line| !line.starts_with("exec_create")).collect();
    let ids: Vec<&str> = told.iter().filter_map(|line| line.strip_prefix("exec_start")).collect();
    let id = |index: usize| ids[index].rsplit(' ').next().unwrap();
    let ends: Vec<&str> = told.iter().copied().filter(|line| !line.starts_with("exec_start")).collect();
    let none = "<no value>";
    assert_eq!(
        ends[2..],
        [
            format!("exec_die 3 {}", id(0)),
            format!("exec_die 137 {}", id(1)),
            format!("kill {none} {none}"),
            format!("kill {none} {none}"),
            format!("exec_die 137 {}", id(2)),
            format!("stop {none} {none}"),
            format!("die 137 {none}"),
        ],
        "{told:#?}"
    );
    assert_eq!(ids.len(), 4, "what does not start was started all the same, as docker has it: {told:#?}");
}

#[test]
fn what_does_not_start_leaves_what_it_was_to_use() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["network", "create", "blue"]).ok();
    sandbox
        .sampan(["run", "--network", "blue", "-v", "data:/data", "--name", "one", "busybox", "nosuch"])
        .fails(127);
    let template = "{{.Type}} {{.Action}}";
    let told = sandbox.sampan(["events", "--since", "0", "--until", "0s", "--format", template]).ok();
    let expected = "volume create\ncontainer create\ncontainer attach\nvolume mount\nnetwork disconnect\nvolume unmount\n";
    assert!(told.stdout.ends_with(expected), "{told}");
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

/// All events so far that these options let through, with their attributes, but for times.
#[track_caller]
fn lines(sandbox: &Sandbox, options: &[&str]) -> Vec<String> {
    let told = sandbox.sampan([&["events", "--since", "0", "--until", "0s"], options].concat()).ok();
    told.lines().iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

#[test]
fn volumes_are_told_of_with_who_mounts_them_and_where() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["volume", "create", "data"]).ok();
    sandbox.sampan(["volume", "create", "data"]).ok();
    sandbox.sampan(["run", "--name", "one", "-v", "data:/data:ro", "-v", "/own", "busybox", "true"]).ok();
    let (id, own) =
        (inspect(&sandbox, "one", "{{.Id}}"), inspect(&sandbox, "one", "{{(index .Mounts 1).Name}}"));
    sandbox.sampan(["rm", "-v", "one"]).ok();
    sandbox.sampan(["volume", "rm", "data"]).ok();
    sandbox.sampan(["volume", "prune", "-f"]).ok();
    let mount = |place: &str, writable: bool| {
        format!("container={id}, destination={place}, driver=local, propagation=, read/write={writable}")
    };
    assert_eq!(
        lines(&sandbox, &["--filter", "type=volume"]),
        [
            "volume create data (driver=local)".to_owned(),
            format!("volume create {own} (driver=local)"),
            format!("volume mount data ({})", mount("/data", false)),
            format!("volume mount {own} ({})", mount("/own", true)),
            format!("volume unmount {own} (container={id}, driver=local)"),
            format!("volume unmount data (container={id}, driver=local)"),
            format!("volume destroy {own} (driver=local)"),
            "volume destroy data (driver=local)".to_owned(),
            "volume prune  (reclaimed=0)".to_owned(),
        ]
    );
    assert_eq!(lines(&sandbox, &["--filter", "volume=data"]).len(), 4);
}

#[test]
fn networks_are_told_of_with_who_joins_and_leaves_them() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["network", "create", "--label", "a=b", "red"]).ok();
    sandbox.sampan(["network", "create", "blue"]).ok();
    let id = idle(&sandbox, &["--name", "one", "--network", "red"]);
    sandbox.sampan(["network", "connect", "blue", "one"]).ok();
    sandbox.sampan(["network", "disconnect", "red", "one"]).ok();
    sandbox.sampan(["kill", "one"]).ok();
    sandbox.sampan(["run", "--rm", "--network", "none", "busybox", "true"]).ok();
    sandbox.sampan(["network", "rm", "red"]).ok();
    sandbox.sampan(["network", "prune", "-f"]).ok();
    let template = "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}";
    let told = sandbox
        .sampan(["events", "--since", "0", "--until", "0s", "--filter", "type=network", "--format", template])
        .ok();
    let told: Vec<&str> = told.lines().into_iter().filter(|line| *line != "create bridge bridge").collect();
    let expected = [
        "create red bridge",
        "create blue bridge",
        "connect red bridge",
        "connect blue bridge",
        "disconnect red bridge",
        "disconnect blue bridge",
        "connect none null",
        "disconnect none null",
        "destroy red bridge",
        "destroy blue bridge",
    ];
    assert_eq!(told[..expected.len()], expected);
    assert!(told[expected.len()].starts_with("prune "), "{told:?}");
    let connected = lines(&sandbox, &["--filter", "event=connect", "--filter", "network=red"]);
    assert!(connected[0].ends_with(&format!(" (container={id}, name=red, type=bridge)")), "{connected:?}");
}

#[test]
fn images_are_told_of_by_their_ids_and_at_registries_by_their_names() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let busybox = inspect(&sandbox, "busybox", "{{.Id}}");
    let id = build(&sandbox, "app");
    let there = format!("{}/app", registry.host());
    sandbox.sampan(["tag", "app", &there]).ok();
    sandbox.sampan(["push", "-q", &there]).ok();
    sandbox.sampan(["rmi", &there, "app"]).ok();
    sandbox.sampan(["pull", "-q", &there]).ok();
    let archive = sandbox.directory().join("app.tar");
    sandbox.sampan(["save", "-o", archive.to_str().unwrap(), &there]).ok();
    sandbox.sampan(["load", "-qi", archive.to_str().unwrap()]).ok();
    sandbox.sampan(["image", "prune", "-af"]).ok();
    let told = lines(&sandbox, &["--filter", "type=image"]);
    let (last, told) = told.split_last().unwrap();
    assert!(last.starts_with("image prune  (reclaimed="), "{last}");
    let of_app = |action: &str| format!("image {action} {id} (name={id})");
    let expected = [
        format!("image load {busybox} (name={busybox})"),
        of_app("create"),
        format!("image tag {id} (name=app:latest)"),
        format!("image tag {id} (name={there}:latest)"),
        format!("image push {there}:latest (name={there})"),
        of_app("untag"),
        of_app("untag"),
        of_app("delete"),
        format!("image pull {there}:latest (name={there})"),
        of_app("save"),
        of_app("load"),
    ];
    assert_eq!(told[..expected.len()], expected);
    for gone in [&id, &busybox] {
        let gone = ["untag", "delete"].map(|action| format!("image {action} {gone} (name={gone})"));
        assert!(told[expected.len()..].windows(2).any(|pair| pair == gone), "{told:?}");
    }
}

#[test]
fn what_is_made_of_a_container_is_told_of() {
    let Some(sandbox) = sandbox() else { return };
    let id = idle(&sandbox, &["--name", "one", "-l", "a=b"]);
    sandbox.sampan(["cp", "one:/etc/hosts", "-"]).ok();
    let file = sandbox.file("here", "x");
    sandbox.sampan(["cp", &file, "one:/tmp"]).ok();
    let image = sandbox.sampan(["commit", "-m", "why", "one", "made"]).ok().word().to_owned();
    sandbox.sampan(["export", "-o", sandbox.directory().join("files").to_str().unwrap(), "one"]).ok();
    let told = lines(&sandbox, &["--filter", "label=a=b"]);
    let own = "image=busybox, name=one";
    let expected = [
        format!("container archive-path {id} (a=b, {own})"),
        format!("container extract-to-dir {id} (a=b, {own})"),
        format!("container pause {id} (a=b, {own})"),
        format!("image create {image} (a=b, name={image})"),
        format!("image tag {image} (a=b, name=made:latest)"),
        format!(
            "container commit {id} (a=b, comment=why, image=busybox, imageID={image}, imageRef=made:latest, name=one)"
        ),
        format!("container unpause {id} (a=b, {own})"),
        format!("container export {id} (a=b, {own})"),
    ];
    assert!(told.ends_with(&expected), "{told:#?}");
}

#[test]
fn attaching_resizing_and_leaving_are_told_of() {
    let Some(sandbox) = sandbox() else { return };
    let mut typist =
        sandbox.on_terminal(["run", "-it", "--name", "one", "--detach-keys", "x", "busybox", "cat"]);
    typist.resize(100, 30);
    testkit::eventually("the size arrived", || {
        let told = lines(&sandbox, &["--filter", "event=resize"]);
        match told.iter().any(|line| line.contains("height=30,") && line.ends_with("width=100)")) {
            true => Ok(()),
            false => Err(format!("{told:?}")),
        }
    });
    typist.write("x");
    typist.finish().ok();
    let told = events(&sandbox, &["--filter", "container=one", "--filter", "type=container"]).stdout;
    let actions: Vec<&str> = told.lines().filter(|line| !line.contains("resize")).collect();
    assert_eq!(
        actions,
        ["container create one", "container attach one", "container start one", "container detach one"]
    );
}
