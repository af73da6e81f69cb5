//! A Dockerfile's text becomes statements: keyword, flags, arguments, each with its place in the file.
//!
//! Knows the syntax that all instructions share. Knows nothing of any instruction's meaning.

mod directives;
mod flags;
mod heredoc;
mod lines;
mod text;
pub mod words;

pub use directives::Directives;
pub use flags::{Flag, Flags};
pub use heredoc::{Heredoc, announced as announced_heredoc};
pub use text::{Text, Word};

use crate::diagnostic::{Problem, Span};
use lines::Lines;

/// A Dockerfile's statements in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    pub directives: Directives,
    pub statements: Vec<Statement>,
}

/// One instruction as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The instruction's name as it was spelt; its case means nothing.
    pub keyword: Word,
    pub flags: Vec<Flag>,
    /// What follows the flags, trimmed.
    pub arguments: Text,
    pub heredocs: Vec<Heredoc>,
    /// All of it, from the keyword to the end of its last line.
    pub span: Span,
}

impl Statement {
    /// The instruction's name in capitals.
    pub fn name(&self) -> String {
        self.keyword.text.to_uppercase()
    }

    /// The statement in one line, as progress shows it.
    pub fn title(&self) -> String {
        let flags = self.flags.iter().map(|flag| match &flag.value {
            Some(value) => format!(" --{}={value}", flag.name),
            None => format!(" --{}", flag.name),
        });
        let arguments = self.arguments.as_str();
        format!("{}{} {arguments}", self.name(), flags.collect::<String>()).trim_end().to_owned()
    }
}

/// Parses `source`.
pub fn parse(source: &str) -> Result<Dockerfile, Problem> {
    let directives = Directives::parse(source)?;
    let mut lines = Lines::new(source);
    let mut statements = Vec::new();
    while let Some((text, end)) = lines.next_logical(&directives) {
        statements.push(statement(&text, end, &mut lines, directives.escape)?);
    }
    if statements.is_empty() {
        return Err(Problem::new("file with no instructions", 0..0));
    }
    Ok(Dockerfile { directives, statements })
}

fn statement(text: &Text, end: usize, lines: &mut Lines<'_>, escape: char) -> Result<Statement, Problem> {
    let text = text.trim();
    let all = text.as_str();
    let split = all.find(char::is_whitespace).unwrap_or(all.len());
    let keyword = text.word(0..split);
    let (flags, arguments) = flags::split(&text.slice(split..all.len()), escape);
    let heredocs = match TAKE_HEREDOCS.contains(&keyword.text.to_uppercase().as_str()) {
        true => heredoc::read(&arguments, lines, escape)?,
        false => Vec::new(),
    };
    let span = keyword.span.start..end.max(keyword.span.end);
    Ok(Statement { keyword, flags, arguments, heredocs, span })
}

/// The instructions in which `<<` is special.
const TAKE_HEREDOCS: [&str; 3] = ["ADD", "COPY", "RUN"];

#[cfg(test)]
mod tests;
