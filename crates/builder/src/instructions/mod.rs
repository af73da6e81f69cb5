//! The instructions: each file holds one's syntax, its meaning and its tests.
//!
//! To add one, write its file and a line in [`INSTRUCTIONS`].

use crate::{
    diagnostic::Problem,
    parse::{Directives, Statement, Text, Word},
    plan::{PlanError, Planner},
};

mod add;
mod arg;
mod cmd;
mod copy;
mod entrypoint;
mod env;
mod expose;
pub mod from;
mod healthcheck;
mod label;
mod maintainer;
mod onbuild;
mod run;
mod shell;
mod stopsignal;
mod user;
mod volume;
mod workdir;

pub use from::From;
pub use run::is_predefined;

/// An instruction whose syntax is right.
pub trait Instruction {
    /// Changes the plan as the instruction asks. `at` is the statement it was read from.
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError>;
}

/// Reads one statement's flags and arguments.
type Read = fn(&Statement, &Directives) -> Result<Box<dyn Instruction>, Problem>;

/// All but FROM, which begins what the others are in.
const INSTRUCTIONS: [(&str, Read); 17] = [
    ("ADD", add::read),
    ("ARG", arg::read),
    ("CMD", cmd::read),
    ("COPY", copy::read),
    ("ENTRYPOINT", entrypoint::read),
    ("ENV", env::read),
    ("EXPOSE", expose::read),
    ("HEALTHCHECK", healthcheck::read),
    ("LABEL", label::read),
    ("MAINTAINER", maintainer::read),
    ("ONBUILD", onbuild::read),
    ("RUN", run::read),
    ("SHELL", shell::read),
    ("STOPSIGNAL", stopsignal::read),
    ("USER", user::read),
    ("VOLUME", volume::read),
    ("WORKDIR", workdir::read),
];

/// Reads a statement that is no FROM.
pub fn read(statement: &Statement, directives: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    let name = statement.name();
    let read = match INSTRUCTIONS.iter().find(|(known, _)| *known == name) {
        Some((_, read)) => read(statement, directives),
        None => Err(unknown(&statement.keyword)),
    };
    read.map_err(Problem::in_an_instruction)
}

fn unknown(keyword: &Word) -> Problem {
    // What is no text at all, as in a file that is no Dockerfile, is not to reach a terminal as it is.
    let mut shown = String::new();
    for c in keyword.text.chars() {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    let known: Vec<&str> = INSTRUCTIONS.iter().map(|(known, _)| *known).chain(["FROM"]).collect();
    let problem = Problem::new(format!("unknown instruction: {shown}"), keyword.span.clone());
    match keyword.text.is_empty() {
        true => problem.helped("nothing follows the line continuation"),
        false => problem.suggesting_in_any_case(&keyword.text, &known),
    }
}

/// All arguments as one word, white space included.
fn one_argument(statement: &Statement) -> Result<Word, Problem> {
    let arguments: &Text = &statement.arguments;
    match arguments.is_empty() {
        true => Err(Problem::new(
            format!("{} requires exactly one argument", statement.name()),
            statement.keyword.span.clone(),
        )),
        false => Ok(arguments.word(0..arguments.as_str().len())),
    }
}

/// Refuses a statement without arguments.
fn some_arguments(statement: &Statement) -> Result<&Text, Problem> {
    match statement.arguments.is_empty() {
        true => Err(Problem::new(
            format!("{} requires at least one argument", statement.name()),
            statement.keyword.span.clone(),
        )),
        false => Ok(&statement.arguments),
    }
}

#[cfg(test)]
pub mod testing;
