//! `--health-*` and HEALTHCHECK: looking whether containers are well.

use testkit::Sandbox;

use crate::{idle, inspect, sandbox};

/// A container that is well for as long as it has `/well`, looked after every few milliseconds.
fn watched(sandbox: &Sandbox, options: &[&str]) -> String {
    let check =
        ["--health-cmd", "echo looked; test -e /well", "--health-interval", "20ms", "--health-retries", "2"];
    idle(sandbox, &[&check, options].concat())
}

#[track_caller]
fn wait_until(sandbox: &Sandbox, name: &str, template: &str, expected: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while inspect(sandbox, name, template) != expected {
        assert!(std::time::Instant::now() < deadline, "{}", inspect(sandbox, name, "{{json .State}}"));
    }
}

const STATUS: &str = "{{.State.Health.Status}}";

#[test]
fn health_follows_what_the_command_says() {
    let Some(sandbox) = sandbox() else { return };
    let slow = idle(&sandbox, &["--health-cmd", "true", "--health-interval", "1h"]);
    assert_eq!(inspect(&sandbox, &slow, STATUS), "starting");
    sandbox.sampan(["ps", "--format", "{{.Status}}"]).ok().says(" (health: starting)\n");
    let id = watched(&sandbox, &[]);
    wait_until(&sandbox, &id, STATUS, "unhealthy");
    sandbox.sampan(["exec", &id, "touch", "/well"]).ok();
    wait_until(&sandbox, &id, STATUS, "healthy");
    sandbox.sampan(["ps", "--format", "{{.Status}}", "--filter", "health=healthy"]).ok().says(" (healthy)\n");
    wait_until(&sandbox, &id, "{{len .State.Health.Log}}", "5");
    let last = "{{(index .State.Health.Log 4).ExitCode}} {{(index .State.Health.Log 4).Output}}";
    assert_eq!(inspect(&sandbox, &id, last), "0 looked");
    let events = ["events", "--since", "0", "--until", "0s", "--filter", "event=health_status"];
    let told = sandbox.sampan([&events[..], &["--format", "{{.Action}}"]].concat()).ok();
    told.prints("health_status: unhealthy\nhealth_status: healthy\n");
}

#[test]
fn the_images_check_holds_unless_it_is_overruled() {
    let Some(sandbox) = sandbox() else { return };
    let dockerfile =
        "FROM busybox\nHEALTHCHECK --interval=20ms --retries=1 CMD [\"test\", \"-e\", \"/nothing\"]\n";
    let context = sandbox.directory().join("context");
    std::fs::create_dir(&context).unwrap();
    std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    sandbox.sampan(["build", "-t", "checked", context.to_str().unwrap()]).ok();
    let run = |options: &[&str]| {
        let command = ["checked", "tail", "-f", "/dev/null"];
        sandbox.sampan([&["run", "-d"], options, &command].concat()).ok().word().to_owned()
    };
    wait_until(&sandbox, &run(&[]), STATUS, "unhealthy");
    wait_until(&sandbox, &run(&["--health-cmd", "true"]), STATUS, "healthy");
    let none = run(&["--no-healthcheck"]);
    assert_eq!(inspect(&sandbox, &none, "{{json .Config.Healthcheck.Test}}"), "[\"NONE\"]");
    let listed = sandbox.sampan(["ps", "-q", "--no-trunc", "--filter", "health=none"]).ok();
    assert_eq!(listed.word(), none);
}

#[test]
fn a_command_that_takes_too_long_has_failed() {
    let Some(sandbox) = sandbox() else { return };
    let check = ["--health-cmd", "echo hm; sleep 1000", "--health-retries", "1"];
    let options = [&check[..], &["--health-interval", "10ms", "--health-timeout", "500ms"]].concat();
    let id = idle(&sandbox, &options);
    wait_until(&sandbox, &id, STATUS, "unhealthy");
    let first = "{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}";
    assert_eq!(inspect(&sandbox, &id, first), "-1 Health check exceeded timeout (500ms): hm");
    sandbox.sampan(["rm", "-f", &id]).ok();
    sandbox.is_clean();
}

#[test]
fn what_becomes_of_an_unhealthy_container_can_be_chosen() {
    let Some(sandbox) = sandbox() else { return };
    let state = "{{.State.Status}} {{.State.ExitCode}}";
    let options = |action: &'static str| ["--health-on-failure", action, "--stop-timeout", "0"];
    wait_until(&sandbox, &watched(&sandbox, &options("kill")), state, "exited 137");
    let stopped = watched(&sandbox, &[&options("stop")[..], &["--restart", "always"]].concat());
    wait_until(&sandbox, &stopped, state, "exited 137");
    let again = watched(&sandbox, &options("restart"));
    while inspect(&sandbox, &again, "{{.RestartCount}}").parse::<u32>().unwrap() < 2 {
        std::thread::yield_now();
    }
    sandbox.sampan(["stop", &again]).ok();
    assert_eq!(inspect(&sandbox, &again, "{{.State.Status}}"), "exited");
}

#[test]
fn options_must_make_sense() {
    let Some(sandbox) = sandbox() else { return };
    let fails = |options: &[&str], text: &str| {
        sandbox.sampan([&["run"], options, &["busybox", "true"]].concat()).fails(125).complains(text);
    };
    fails(&["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-* options");
    fails(&["--health-cmd", "x", "--health-interval", "-1s"], "--health-interval cannot be negative");
    fails(&["--health-cmd", "x", "--health-retries", "-1"], "--health-retries cannot be negative");
    fails(
        &["--health-cmd", "x", "--health-timeout", "1us"],
        "Timeout in Healthcheck cannot be less than 1ms",
    );
    fails(&["--health-interval", "5"], "time: missing unit in duration \"5\"");
}
