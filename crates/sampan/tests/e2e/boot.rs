//! `boot`: what runs after the machine was started.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use testkit::Sandbox;

use crate::{idle, inspect, sandbox};

/// Ends a container as a power cut does: nobody sees it, and what dies with the boot says it was another.
fn cut_power(sandbox: &Sandbox, names: &[&str]) {
    for name in names {
        let id = inspect(sandbox, name, "{{.Id}}");
        let pid = inspect(sandbox, name, "{{.State.Pid}}");
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let monitor: i32 = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        kill_process(Pid::from_raw(monitor).unwrap(), Signal::KILL).unwrap();
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
    let link = units.join("multi-user.target.wants").join(unit.rsplit('/').next().unwrap());
    assert_eq!(fs::read_link(link).unwrap().to_str(), Some(unit.as_str()));
    boot("disable").prints("");
    boot("disable").prints("");
    boot("status").prints("disabled\n");
    assert!(!fs::exists(&unit).unwrap());
}
