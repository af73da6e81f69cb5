//! What users see, as a specification: the real program, real containers, a sandbox per test.

#![allow(clippy::unwrap_used, reason = "what serves tests may panic as tests do")]

mod attach;
mod boot;
mod build;
mod build_cache;
mod build_hostile;
mod build_output;
mod build_remote;
mod build_shown;
mod build_travel;
mod build_verify;
mod builds;
mod cases;
mod container_prune;
mod contexts;
mod copy;
mod cp;
mod create;
mod devices;
mod df;
mod diff;
mod digests;
mod doctor;
mod events;
mod exec;
mod faults;
mod health;
mod history;
mod hostile;
mod images;
mod import;
mod inspect;
mod interop;
mod isolation;
mod kill;
mod kills;
mod limits;
mod load;
mod log_drivers;
mod login;
mod logs;
mod mounts;
mod network;
mod networks;
mod pause;
mod port;
mod prune;
mod ps;
mod publish;
mod push;
mod rename;
mod restart;
mod rm;
mod rmi;
mod rootless;
mod run;
mod runtime;
mod start;
mod stats;
mod steps;
mod stop;
mod streams;
mod system_prune;
mod tag;
mod top;
mod trash;
mod tree;
mod update;
mod usage;
mod userns;
mod verify;
mod volume;
mod volumes;

use testkit::{Outcome, Sandbox};

/// A sandbox with busybox in it; `None` where tests cannot have one.
fn sandbox() -> Option<Sandbox> {
    Sandbox::new(PROGRAM)
}

/// Runs a shell script in a container that is removed afterwards.
#[track_caller]
fn shell(sandbox: &Sandbox, options: &[&str], script: &str) -> Outcome {
    let command = ["busybox", "sh", "-c", script];
    sandbox.sampan([&["run", "--rm"], options, &command].concat())
}

/// Starts a container in the background that does nothing until it is killed; its id.
#[track_caller]
fn idle(sandbox: &Sandbox, options: &[&str]) -> String {
    background(sandbox, options, "exec tail -f /dev/null")
}

/// Starts a shell script in a container in the background; the container's id.
#[track_caller]
fn background(sandbox: &Sandbox, options: &[&str], script: &str) -> String {
    let command = ["busybox", "sh", "-c", script];
    sandbox.sampan([&["run", "--detach"], options, &command].concat()).ok().word().to_owned()
}

/// What `inspect` says of a container or anything else.
#[track_caller]
fn inspect(sandbox: &Sandbox, name: &str, template: &str) -> String {
    sandbox.sampan(["inspect", "--format", template, name]).ok().word().to_owned()
}

/// How many files a process in a container may have open: docker's number, or all that this machine's root may.
fn most_files(sandbox: &Sandbox) -> u64 {
    let limit = sandbox.start(sandbox.shell("ulimit -H -n")).finish().ok();
    limit.word().parse().unwrap_or(u64::MAX).min(1 << 20)
}

/// A script of a container that serves its `/srv` on port 80, with its host name as `/srv/name`. Says "ready".
const SERVER: &str =
    "mkdir /srv; hostname > /srv/name; httpd -p 80 -h /srv && echo ready && exec tail -f /dev/null";
/// A request to it.
const NAME: &str = "GET /name HTTP/1.0\r\n\r\n";

const PROGRAM: &str = env!("CARGO_BIN_EXE_sampan");
