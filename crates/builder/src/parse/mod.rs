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
use lines::{LONGEST, Lines, LogicalLine};

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
    /// The comments right before it, without the `#`.
    pub comments: Vec<String>,
    /// The last line before its here-documents, if it was continued over an empty line.
    pub gap: Option<Span>,
    /// All of it, from the keyword to the end of its last line or of its last here-document.
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
    let (source, endless) = lines::split_at_endless_line(source);
    let directives = Directives::parse(source)?;
    let mut lines = Lines::new(source);
    let mut statements = Vec::new();
    while let Some(line) = lines.next_logical(&directives) {
        statements.push(statement(line, &mut lines)?);
    }
    match endless {
        _ if statements.is_empty() => Err(Problem::new("file with no instructions", 0..0)),
        Some(span) => {
            let message = format!("dockerfile line greater than max allowed size of {LONGEST}");
            Err(Problem::new(message, span).helped("break it with \\ at the end of a line"))
        }
        None => Ok(Dockerfile { directives, statements }),
    }
}

fn statement(line: LogicalLine, lines: &mut Lines<'_>) -> Result<Statement, Problem> {
    let text = line.text.trim();
    let (keyword, rest) = split_keyword(&text);
    let (flags, arguments) = flags::split(&rest);
    let (heredocs, heredocs_end) = match takes_heredocs(&keyword, &arguments) {
        true => heredoc::read(&arguments, lines)?,
        false => (Vec::new(), None),
    };
    let end = heredocs_end.unwrap_or(line.end);
    let span = keyword.span.start..end.max(keyword.span.end);
    Ok(Statement { keyword, flags, arguments, heredocs, comments: line.comments, gap: line.gap, span })
}

/// The instruction's name and what follows it.
fn split_keyword(text: &Text) -> (Word, Text) {
    let all = text.as_str();
    let split = all.find(words::is_space).unwrap_or(all.len());
    (text.word(0..split), text.slice(split..all.len()).trim())
}

/// Whether `<<` is special in an instruction, or in the one that ONBUILD keeps.
fn takes_heredocs(keyword: &Word, arguments: &Text) -> bool {
    match keyword.text.to_uppercase().as_str() {
        "ADD" | "COPY" | "RUN" => !matches!(words::json(arguments), Ok(Some(_))),
        "ONBUILD" => {
            let (keyword, rest) = split_keyword(arguments);
            let (_, arguments) = flags::split(&rest);
            keyword.text.to_uppercase() != "ONBUILD" && takes_heredocs(&keyword, &arguments)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
