//! sampan: builds, runs, lists, stops and removes containers. A thin skin: who are we, what is asked, do it, exit.

// Documents of docker's API are long, and `json!` calls itself for each field.
#![recursion_limit = "256"]

// First, for all others to have its macros.
#[macro_use]
mod print;

mod cli;
mod commands;
mod confirm;
mod contexts;
mod destination;
mod filter;
mod output;
mod report;
mod roles;
mod rootless;
mod session;
mod terminal;
mod usage;

use std::{env, process::ExitCode};

use cli::{Cli, Program};
use roles::Role;

fn main() -> ExitCode {
    if let Some(role) = Role::of_this_process() {
        return role.play(); // a container's monitor, or what follows it; no thread has started yet
    }
    match Cli::parse(env::args_os(), &PROGRAM) {
        Ok(cli) => cli.run().unwrap_or_else(|error| report::failure(&error)),
        Err(page) => page.show(),
    }
}

const PROGRAM: Program<'static> = Program {
    name: "sampan",
    version: env!("CARGO_PKG_VERSION"),
    about: "Containers without a daemon",
    common: &["run", "exec", "ps", "build", "images", "version", "info"],
    nouns: &[
        ("boot", "Manage what runs after the machine was started"),
        ("container", "Manage containers"),
        ("context", "Manage contexts"),
        ("image", "Manage images"),
        ("manifest", "Manage image manifests in registries"),
        ("network", "Manage networks"),
        ("volume", "Manage volumes"),
        ("trash", "Manage what was removed"),
        ("serve", "Serve others"),
        ("system", "Manage sampan"),
        ("builder", "Manage builds"),
        ("buildx", "Build images"),
        ("buildx history", "Commands to work on build records"),
    ],
    commands: commands::ALL,
};
