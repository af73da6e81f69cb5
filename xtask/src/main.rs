//! What the project does for itself: `cargo xtask NAME`.
//!
//! Knows the checkout and the machine it lies on. No part of the program, and used by no crate of it.

mod arrows;
mod images;
mod lints;
mod readme;
mod setup;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((task, arguments)) = arguments
        .split_first()
        .and_then(|(name, rest)| TASKS.iter().find(|task| task.name == name).map(|task| (task, rest)))
    else {
        usage();
        return ExitCode::FAILURE;
    };
    match (task.run)(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("{}: {err:#}", task.name);
            ExitCode::FAILURE
        }
    }
}

/// Something to do, by the name it is called with.
struct Task {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> anyhow::Result<()>,
}

const TASKS: &[Task] = &[
    Task { name: "setup", about: "install the programs that images and tests need", run: setup::run },
    Task { name: "images", about: "make base images ([NAME...]) and print where they lie", run: images::run },
    Task { name: "arrows", about: "check that crates use only the crates they may", run: arrows::run },
    Task { name: "lints", about: "check that every crate but sys forbids unsafe code", run: lints::run },
    Task { name: "readme", about: "check that the commands in README.md exist", run: readme::run },
];

fn usage() {
    eprintln!("usage: cargo xtask NAME\n");
    for task in TASKS {
        eprintln!("  {:<8} {}", task.name, task.about);
    }
}
