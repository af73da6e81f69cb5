//! Here-documents: `<<EOF` in an instruction takes the lines that follow, up to one that is just `EOF`.

use super::{
    lines::Lines,
    text::{Text, Word},
    words,
};
use crate::diagnostic::{Problem, Span};

/// One here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    pub name: String,
    /// Its lines as they are in the file.
    pub content: String,
    /// `<<-`: tabs at the start of lines are not part of the content.
    pub chomp: bool,
    /// The name is not quoted, so variables in the content mean their values.
    pub expand: bool,
    /// Where `<<EOF` stands.
    pub span: Span,
}

impl Heredoc {
    /// The content without the tabs that `<<-` takes away.
    pub fn text(&self) -> String {
        match self.chomp {
            true => self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect(),
            false => self.content.clone(),
        }
    }
}

/// Reads the here-documents that `text` announces from the lines after it.
pub fn read(text: &Text, lines: &mut Lines<'_>, escape: char) -> Result<Vec<Heredoc>, Problem> {
    let mut heredocs: Vec<Heredoc> = words::quoted(text, escape).iter().filter_map(announced).collect();
    for heredoc in &mut heredocs {
        loop {
            let Some(line) = lines.next() else {
                return Err(Problem::new("unterminated heredoc", heredoc.span.clone()));
            };
            let candidate = if heredoc.chomp { line.text.trim_start_matches('\t') } else { line.text };
            if candidate == heredoc.name {
                break;
            }
            heredoc.content.push_str(line.raw);
        }
    }
    Ok(heredocs)
}

/// The here-document that `word` announces, still without content: `[fd]<<[-]name`.
pub fn announced(word: &Word) -> Option<Heredoc> {
    let rest = word.text.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (rest, chomp) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
    let name: String = rest.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
    let valid = !name.is_empty() && !name.contains('<') && !name.contains(char::is_whitespace);
    valid.then(|| Heredoc {
        expand: name == rest,
        name,
        content: String::new(),
        chomp,
        span: word.span.clone(),
    })
}
