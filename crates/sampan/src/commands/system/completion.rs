//! `completion` and `man`: what shells and readers of manuals know of the commands.

use std::{fs, io, path::PathBuf, process::ExitCode};

use clap::Args;
use clap_complete::Shell;

use crate::{
    PROGRAM,
    cli::{Globals, Verb, describe_globals},
    report,
};

/// Generate the autocompletion script for the specified shell
#[derive(Args)]
pub struct Completion {
    #[arg(value_parser = clap::value_parser!(Shell))]
    shell: Shell,
}

impl Verb for Completion {
    const NAMES: &'static [&'static str] = &["completion"];
    const USAGE: &'static str = "bash|fish|powershell|zsh";

    fn run(self, _: &Globals) -> anyhow::Result<ExitCode> {
        let name = report::program();
        clap_complete::generate(self.shell, &mut tree(), name, &mut io::stdout());
        Ok(ExitCode::SUCCESS)
    }
}

/// Write the manual pages into a directory
#[derive(Args)]
pub struct Man {
    directory: PathBuf,
}

impl Verb for Man {
    const NAMES: &'static [&'static str] = &["system man"];
    const USAGE: &'static str = "DIRECTORY";

    fn run(self, _: &Globals) -> anyhow::Result<ExitCode> {
        fs::create_dir_all(&self.directory)?;
        let mut root = tree();
        root.build();
        pages(&root, PROGRAM.name, &self.directory)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the page of a command, and those of the ones below it: `sampan-container-run.1`.
fn pages(command: &clap::Command, name: &str, directory: &PathBuf) -> io::Result<()> {
    for below in command.get_subcommands() {
        pages(below, &format!("{name}-{}", below.get_name()), directory)?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone().display_name(name)).title(name).render(&mut page)?;
    fs::write(directory.join(format!("{name}.1")), page)
}

/// All commands, as clap would have them if it chose among them.
fn tree() -> clap::Command {
    let mut all = Vec::new();
    for command in PROGRAM.commands {
        all.extend(command.names.iter().map(|name| (name.split(' ').collect::<Vec<_>>(), command)));
    }
    // What is a command by itself comes before those below it.
    all.sort_by_key(|(words, _)| words.len());
    let root = plain(describe_globals(), PROGRAM.name).about(PROGRAM.about).version(PROGRAM.version);
    let root =
        all.iter().fold(root, |root, (words, command)| add(root, words, words.len(), command.describe()));
    root.disable_help_subcommand(true)
}

/// Adds the command that `words` call; `above` is what all but the last `left` of them lead to.
fn add(above: clap::Command, words: &[&'static str], left: usize, described: clap::Command) -> clap::Command {
    let (so_far, below) = words.split_at(words.len() - left + 1);
    let Some(name) = so_far.last() else { return above };
    if below.is_empty() {
        return above.subcommand(plain(described, name));
    }
    let above = match above.find_subcommand(name) {
        Some(_) => above,
        None => {
            let noun = so_far.join(" ");
            let about = PROGRAM.nouns.iter().find(|(known, _)| *known == noun).map_or("", |(_, about)| about);
            above.subcommand(clap::Command::new(*name).about(about))
        }
    };
    above.mut_subcommand(name, |noun| add(noun.disable_help_subcommand(true), words, left - 1, described))
}

/// The same command by another name, without positional arguments that stand for other commands.
fn plain(described: clap::Command, name: &'static str) -> clap::Command {
    let mut command = clap::Command::new(name).disable_help_flag(true).disable_version_flag(true);
    if let Some(about) = described.get_about() {
        command = command.about(about.clone());
    }
    command.args(described.get_arguments().filter(|arg| arg.get_id() != "words").cloned())
}
