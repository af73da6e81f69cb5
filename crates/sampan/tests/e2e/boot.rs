//! `boot`: what runs after the machine was started.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use testkit::Sandbox;

use crate::{idle, inspect, sandbox};

fn signal_monitor(sandbox: &Sandbox, name: &str, signal: Signal) {
    let pid = inspect(sandbox, name, "{{.State.Pid}}");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let monitor: i32 = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    kill_process(Pid::from_raw(monitor).unwrap(), signal).unwrap();
}

/// Ends a container as a power cut does: nobody sees it, and what dies with the boot says it was another.
fn cut_power(sandbox: &Sandbox, names: &[&str]) {
    for name in names {
        let id = inspect(sandbox, name, "{{.Id}}");
        signal_monitor(sandbox, name, Signal::KILL);
        let record = sandbox.root().join("containers").join(id).join("state.json");
        let text = fs::read_to_string(&record).unwrap();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        fs::write(&record, text.replace(boot.trim_end(), "another")).unwrap();
    }
}

#[test]
fn containers_start_by_their_policies_in_the_order_they_had() {
    let Some(sandbox) = sandbox() else { return };
    let start = |name: &str, policy: &str| {
        idle(&sandbox, &["--name", name, "--restart", policy, "--stop-timeout", "0"]);
    };
    for (name, policy) in [
        ("db", "always"),
        ("never", "no"),
        ("web", "unless-stopped"),
        ("off", "unless-stopped"),
        ("on", "always"),
    ] {
        start(name, policy);
    }
    sandbox.sampan(["restart", "db"]).ok();
    sandbox.sampan(["stop", "off", "on"]).ok();
    cut_power(&sandbox, &["db", "never", "web"]);
    // `always` does not remember that somebody had stopped it.
    sandbox.sampan(["boot", "start"]).ok().prints("web\non\ndb\n");
    let listed = sandbox.sampan(["ps", "--all", "--format", "{{.Names}} {{.State}}"]).ok();
    listed.prints("on running\noff exited\nweb running\nnever exited\ndb running\n");
    sandbox.sampan(["boot", "start"]).ok().prints("");
}

/// A container that says when it starts, and ends with `code` when it is asked to, once it has said so.
fn polite(sandbox: &Sandbox, name: &str, policy: &str, code: u8) {
    let script = format!("trap 'echo bye; exit {code}' TERM; echo hello; while :; do sleep 0.1; done");
    let options = ["run", "-d", "--name", name, "--restart", policy, "busybox", "sh", "-c"];
    sandbox.sampan([&options[..], &[&script]].concat()).ok();
    testkit::eventually("it listens", || {
        let said = sandbox.sampan(["logs", name]);
        if said.stdout.ends_with("hello\n") { Ok(()) } else { Err(said) }
    });
}

#[test]
fn containers_that_were_stopped_with_the_machine_start_with_it() {
    let Some(sandbox) = sandbox() else { return };
    let policies = [
        ("one", "unless-stopped", 0),
        ("two", "on-failure", 3),
        ("three", "on-failure", 0),
        ("four", "no", 0),
    ];
    for (name, policy, code) in policies {
        polite(&sandbox, name, policy, code);
    }
    idle(&sandbox, &["--name", "stubborn", "--restart", "always", "--stop-timeout", "1"]);
    sandbox.sampan(["boot", "stop"]).ok().prints("stubborn\nfour\nthree\ntwo\none\n");
    let states = "{{.Names}} {{.Status}}";
    let listed = sandbox.sampan(["ps", "--all", "--format", states]).ok();
    for (name, code) in [("one", 0), ("two", 3), ("three", 0), ("four", 0), ("stubborn", 137)] {
        assert!(listed.stdout.contains(&format!("{name} Exited ({code})")), "{listed}");
    }
    sandbox.sampan(["logs", "one"]).ok().prints("hello\nbye\n");
    sandbox.sampan(["boot", "start"]).ok().prints("one\ntwo\nstubborn\n");
}

#[test]
fn a_monitor_that_is_to_end_stops_its_container() {
    let Some(sandbox) = sandbox() else { return };
    polite(&sandbox, "one", "always", 5);
    let events =
        ["events", "--since", "0", "--until", "0s", "--format", "{{.Action}} {{.Actor.Attributes.signal}}"];
    signal_monitor(&sandbox, "one", Signal::TERM);
    sandbox.sampan(["wait", "one"]).ok();
    sandbox.sampan(["ps"]).ok();
    assert_eq!(inspect(&sandbox, "one", "{{.State.Status}} {{.State.ExitCode}}"), "exited 5");
    sandbox.sampan(events).ok().says("kill 15");
    // Until the machine was started again: then whoever comes by starts it.
    let mark = sandbox.root().join("containers").join(inspect(&sandbox, "one", "{{.Id}}")).join("stopped");
    let text = fs::read_to_string(&mark).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(&mark, text.replace(boot.trim_end(), "another")).unwrap();
    sandbox.sampan(["ps"]).ok().says("Up");
}

#[test]
fn a_monitor_that_is_to_end_does_so_between_two_starts() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["run", "-d", "--name", "one", "--restart", "always", "busybox", "false"]).ok();
    // The longer it fails the longer it waits.
    testkit::eventually("it is about to be started again", || {
        let count = inspect(&sandbox, "one", "{{.State.Status}} {{.RestartCount}}");
        if count == "restarting 4" { Ok(()) } else { Err(count) }
    });
    sandbox.sampan(["boot", "stop"]).ok().prints("one\n");
    assert_eq!(inspect(&sandbox, "one", "{{.State.Status}}"), "exited");
}

#[test]
fn a_unit_has_it_done() {
    let Some(sandbox) = sandbox() else { return };
    let units = sandbox.directory().join("units");
    let boot = |verb: &str| sandbox.sampan(["boot", verb, "--unit-directory", units.to_str().unwrap()]).ok();
    boot("status").prints("disabled\n");
    let unit = boot("enable").word().to_owned();
    boot("enable").prints(&format!("{unit}\n"));
    boot("status").prints("enabled\n");
    let text = fs::read_to_string(&unit).unwrap();
    assert!(text.contains(&format!("--root \"{}\" boot start\n", sandbox.root().display())), "{text}");
    assert!(text.contains(&format!("--root \"{}\" boot stop\n", sandbox.root().display())), "{text}");
    let link = units.join("multi-user.target.wants").join(unit.rsplit('/').next().unwrap());
    assert_eq!(fs::read_link(link).unwrap().to_str(), Some(unit.as_str()));
    boot("disable").prints("");
    boot("disable").prints("");
    boot("status").prints("disabled\n");
    assert!(!fs::exists(&unit).unwrap());
}
