//! `top`: the processes of a container, in the columns that ps(1) would show.
//!
//! docker asks the host's `ps` and picks the container's lines. Here the kernel is asked, so that neither the host nor the
//! image needs the program.

mod columns;
mod process;

use std::process::ExitCode;

use clap::Args;
use engine::EngineError;

use self::{
    columns::Column,
    process::{Machine, Process},
};
use crate::{
    cli::{Globals, Verb},
    output::{human, table::align},
    session,
};

/// Display the running processes of a container
#[derive(Args)]
pub struct Top {
    #[arg(value_names = ["CONTAINER", "ps OPTIONS"], required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    container_and_options: Vec<String>,
}

impl Verb for Top {
    const NAMES: &'static [&'static str] = &["container top", "top"];
    const USAGE: &'static str = "CONTAINER [ps OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let (name, options) = match self.container_and_options.split_first() {
            Some((name, options)) => (name.as_str(), options),
            None => ("", &[][..]),
        };
        let engine = session::open(globals)?;
        let container = engine.container(name)?;
        let pids = engine.processes(&container)?;
        engine.note(&container, "top", &[]);
        let columns = columns::chosen(options).map_err(EngineError::Invalid)?;
        let machine = Machine::read()?;
        let processes: Vec<Process> = pids.into_iter().filter_map(|pid| Process::read(pid).ok()).collect();
        let mut text =
            columns.iter().map(|(_, header)| header.as_str()).collect::<Vec<_>>().join("\t") + "\n";
        for process in &processes {
            let cells = columns.iter().map(|(column, _)| human::visible(&column.of(process, &machine)));
            text.push_str(&cells.collect::<Vec<_>>().join("\t"));
            text.push('\n');
        }
        print!("{}", align(&text, WIDTH));
        Ok(ExitCode::SUCCESS)
    }
}

/// Columns are this wide at least.
const WIDTH: usize = 20;

/// A column and what stands above it.
type Titled = (Column, String);
