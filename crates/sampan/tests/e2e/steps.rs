//! Commands, monitors and first processes killed before every single thing that they do to the disk or the kernel.
//!
//! After each, the next command puts right what was left: nothing leaks, what was there before is there as it was, and the
//! same command succeeds. `SAMPAN_STEPS=all` takes every step, else as many as there is time for, from another one on each day.

use std::{collections::BTreeSet, env, fs, time::SystemTime};

use testkit::{Registry, Role, Sandbox, Walked, eventually};

use crate::{background, push::image, sandbox};

/// A command whose steps are taken one by one.
struct Scene<'a> {
    /// What makes it have something to do; all of them succeed.
    prepare: &'a [&'a [&'a str]],
    command: &'a [&'a str],
    /// Whose steps.
    roles: &'a [Role],
    /// What takes back what it does, whether or not it has. May fail.
    restore: &'a [&'a [&'a str]],
}

#[test]
fn containers_are_whole_whatever_is_killed_before_which_step() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.sampan(["network", "create", "own"]).ok();
    let remove: &[&[&str]] =
        &[&["rm", "--force", "--volumes", "subject"], &["volume", "rm", "--force", "data"]];
    let run = [
        "run",
        "--name",
        "subject",
        "--network",
        "own",
        "-p",
        "4000:80",
        "-v",
        "data:/v",
        "--health-cmd",
        "true",
    ];
    let in_foreground = [&run[..], &["--rm", "busybox", "true"]].concat();
    let in_background = [&run[..], &["--detach", "--init", "busybox", "sleep", "1000"]].concat();
    let stubborn: &[&str] = &in_background;
    let all = &[Role::Command, Role::Monitor, Role::Init];
    let command = &[Role::Command];
    walk(
        &sandbox,
        &[
            Scene { prepare: &[], command: &in_foreground, roles: all, restore: remove },
            Scene { prepare: &[], command: &in_background, roles: all, restore: remove },
            Scene {
                prepare: &[stubborn],
                command: &["stop", "--time", "0", "subject"],
                roles: command,
                restore: remove,
            },
            Scene {
                prepare: &[stubborn],
                command: &["restart", "--time", "0", "subject"],
                roles: all,
                restore: remove,
            },
            Scene {
                prepare: &[stubborn],
                command: &["rm", "--force", "--volumes", "subject"],
                roles: command,
                restore: remove,
            },
            Scene { prepare: &[stubborn], command: &["pause", "subject"], roles: command, restore: remove },
            Scene {
                prepare: &[stubborn],
                command: &["exec", "subject", "true"],
                roles: command,
                restore: remove,
            },
            Scene {
                prepare: &[stubborn],
                command: &["cp", "subject:/bin/busybox", "-"],
                roles: command,
                restore: remove,
            },
            Scene {
                prepare: &[stubborn],
                command: &["rename", "subject", "renamed"],
                roles: command,
                restore: &[
                    &["rename", "renamed", "subject"],
                    &["rm", "--force", "--volumes", "subject"],
                    &["volume", "rm", "--force", "data"],
                ],
            },
            Scene {
                prepare: &[stubborn],
                command: &["update", "--memory", "64m", "--memory-swap", "64m", "subject"],
                roles: command,
                restore: remove,
            },
            Scene {
                prepare: &[stubborn],
                command: &["network", "connect", "bridge", "subject"],
                roles: command,
                restore: remove,
            },
        ],
    );
    sandbox.sampan(["network", "rm", "own"]).ok();
}

#[test]
fn networks_and_volumes_are_whole_whatever_is_killed_before_which_step() {
    let Some(sandbox) = sandbox() else { return };
    let network: &[&[&str]] = &[&["network", "rm", "n"]];
    let volume: &[&[&str]] = &[&["volume", "rm", "--force", "data"]];
    let command = &[Role::Command];
    walk(
        &sandbox,
        &[
            Scene {
                prepare: &[],
                command: &["network", "create", "--ipv6", "n"],
                roles: command,
                restore: network,
            },
            Scene {
                prepare: &[
                    &["network", "create", "n"],
                    &["run", "--rm", "--network", "n", "busybox", "true"],
                ],
                command: &["network", "rm", "n"],
                roles: command,
                restore: network,
            },
            Scene { prepare: &[], command: &["volume", "create", "data"], roles: command, restore: volume },
            Scene {
                prepare: &[&["volume", "create", "data"]],
                command: &["volume", "rm", "data"],
                roles: command,
                restore: volume,
            },
        ],
    );
}

#[test]
fn images_are_whole_whatever_is_killed_before_which_step() {
    let Some(sandbox) = sandbox() else { return };
    let registry = Registry::start(&sandbox, &[]);
    let name = image(&sandbox, &registry.host(), "hello:1");
    sandbox.sampan(["push", &name]).ok();
    let name = name.as_str();
    let context = sandbox.directory().join("stepwise");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM busybox\nCOPY Dockerfile /a\nRUN echo b >/b\n").unwrap();
    let context = context.to_str().unwrap();
    let gone: &[&[&str]] = &[&["rmi", "--force", name]];
    let again: &[&[&str]] = &[&["pull", name]];
    let command = &[Role::Command];
    let untag: &[&[&str]] = &[&["rmi", "--force", "made"], &["builder", "prune", "--all", "--force"]];
    walk(
        &sandbox,
        &[
            Scene { prepare: gone, command: &["pull", name], roles: command, restore: again },
            Scene { prepare: &[&["pull", name]], command: &["rmi", name], roles: command, restore: again },
            Scene {
                prepare: &[],
                command: &["build", "--tag", "made", context],
                roles: &[Role::Command, Role::Monitor, Role::Init],
                restore: untag,
            },
            Scene { prepare: &[], command: &["commit", "witness", "made"], roles: command, restore: untag },
            Scene {
                prepare: &[&["tag", "busybox", "made"]],
                command: &["rmi", "made"],
                roles: command,
                restore: untag,
            },
        ],
    );
}

/// Takes the steps of all `scenes`, beside a container, a volume and an image that have to stay as they are.
fn walk(sandbox: &Sandbox, scenes: &[Scene<'_>]) {
    background(sandbox, &["--name", "witness", "-v", "kept:/kept"], "echo kept >/kept/file; sleep 1000");
    eventually("the witness has written", || {
        match sandbox.sampan(["exec", "witness", "cat", "/kept/file"]) {
            read if read.stdout == "kept\n" => Ok(()),
            read => Err(read),
        }
    });
    let untouched = state(sandbox);
    let mut killed = 0;
    for scene in scenes {
        for role in scene.roles {
            killed += scene.walk(sandbox, *role, &untouched);
        }
    }
    eprintln!("{killed} were killed");
    sandbox.sampan(["rm", "--force", "witness"]).ok();
}

impl Scene<'_> {
    /// Kills at one step after another, until there are no more; how often.
    fn walk(&self, sandbox: &Sandbox, role: Role, untouched: &BTreeSet<String>) -> usize {
        let every = env::var_os("SAMPAN_STEPS").is_some_and(|steps| steps == "all");
        self.set(sandbox);
        let steps = match sandbox.kill_before(role, usize::MAX, self.command) {
            Walked::Ended { code: 0, steps, .. } => steps,
            failed => panic!("{:?}: {failed:?}", self.command),
        };
        assert!(steps > 0, "{:?} has no step of {role:?}", self.command);
        self.restore(sandbox, untouched, "nothing");
        let today = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as usize / 86_400;
        let stride = if every { 1 } else { steps.div_ceil(SAMPLE) };
        let mut killed = 0;
        for step in (1 + today % stride..=steps).step_by(stride) {
            self.set(sandbox);
            // What threads do is not the same each time, nor how much is written at once.
            let Walked::Killed { before } = sandbox.kill_before(role, step, self.command) else {
                self.restore(sandbox, untouched, "too few steps");
                continue;
            };
            killed += 1;
            let what =
                format!("{:?}, {role:?} killed before its step {step} of {steps}: {before}", self.command);
            let listed = sandbox.sampan(["ps", "--all"]);
            assert_eq!(listed.code, 0, "{what}\n{listed}");
            self.restore(sandbox, untouched, &what);
        }
        // And what was killed again and again succeeds.
        self.set(sandbox);
        sandbox.sampan(self.command).ok();
        self.restore(sandbox, untouched, "the last");
        killed
    }

    fn set(&self, sandbox: &Sandbox) {
        self.prepare.iter().for_each(|command| drop(sandbox.sampan(*command).ok()));
    }

    /// Takes back what the command did, and expects that all is as it was.
    fn restore(&self, sandbox: &Sandbox, untouched: &BTreeSet<String>, what: &str) {
        let mut said = String::new();
        for command in self.restore {
            said += &sandbox.sampan(*command).to_string();
        }
        eventually(what, || match state(sandbox) {
            state if state == *untouched => Ok(()),
            state => {
                let more: Vec<_> = state.difference(untouched).collect();
                let less: Vec<_> = untouched.difference(&state).collect();
                Err(format!("{said}\nmore than before: {more:#?}\nless than before: {less:#?}"))
            }
        });
    }
}

/// What there is of containers on the host, and what is to stay, a line each.
fn state(sandbox: &Sandbox) -> BTreeSet<String> {
    let mut lines = BTreeSet::from_iter([sandbox.left_behind(), sandbox.networks_left_behind()].concat());
    let listings: [&[&str]; 6] = [
        &["exec", "witness", "cat", "/kept/file"],
        &["ps", "--all", "--format", "container {{.ID}} {{.Names}} {{.State}}"],
        &["volume", "ls", "--format", "volume {{.Name}}"],
        &["network", "ls", "--format", "network {{.ID}} {{.Name}}"],
        &["images", "--format", "image {{.ID}} {{.Repository}}:{{.Tag}}"],
        &["image", "verify", "--quiet"],
    ];
    for listing in listings {
        let outcome = sandbox.sampan(listing);
        lines.extend(outcome.lines().into_iter().map(str::to_owned));
        if outcome.code != 0 {
            lines.insert(outcome.to_string());
        }
    }
    lines
}

/// About how many steps of a command are taken, unless all are.
const SAMPLE: usize = 6;
