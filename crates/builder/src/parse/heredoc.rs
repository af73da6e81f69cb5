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

/// Reads the here-documents that `text` announces from the lines after it; also the place where the last one ends.
///
/// Whatever the escape directive says, it is `\` that quotes here.
pub fn read(text: &Text, lines: &mut Lines<'_>) -> Result<(Vec<Heredoc>, Option<usize>), Problem> {
    let mut heredocs = announced_in(text);
    let mut end = None;
    for heredoc in &mut heredocs {
        loop {
            let Some(line) = lines.next() else {
                let hint = format!("end it with a line that is just {}", heredoc.name);
                return Err(Problem::new("unterminated heredoc", heredoc.span.clone()).helped(hint));
            };
            end = Some(line.start + line.text.len());
            let candidate = if heredoc.chomp { line.text.trim_start_matches('\t') } else { line.text };
            if candidate == heredoc.name {
                break;
            }
            heredoc.content.push_str(line.raw);
        }
    }
    Ok((heredocs, end))
}

/// All that a line announces. A lone `<<` has its name in the next word. Nothing, if a quote is left open.
fn announced_in(text: &Text) -> Vec<Heredoc> {
    if !text.as_str().contains("<<") || words::has_open_quote(text) {
        return Vec::new();
    }
    let words = words::quoted(text, '\\');
    let mut heredocs = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let name = if word.text == "<<" { rest.next() } else { None };
        heredocs.extend(match name {
            Some(name) => announced(&Word {
                text: format!("<<{}", name.text),
                span: word.span.start..name.span.end.max(word.span.start),
            }),
            None => announced(word),
        });
    }
    heredocs
}

/// The here-document that `word` announces, still without content: `[fd]<<[-]name`.
pub fn announced(word: &Word) -> Option<Heredoc> {
    let rest = word.text.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (rest, chomp) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
    if rest.contains('<') {
        return None;
    }
    let (name, quoted) = unquoted(rest)?;
    let valid = !name.is_empty() && (quoted || !name.contains(char::is_whitespace));
    valid.then(|| Heredoc { expand: !quoted, name, content: String::new(), chomp, span: word.span.clone() })
}

/// The name without quotes and escapes, and whether there were quotes; `None` if one is left open.
fn unquoted(word: &str) -> Option<(String, bool)> {
    let (mut name, mut quote, mut quoted) = (String::new(), None, false);
    let mut characters = word.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => name.extend(characters.next()),
            ('"' | '\'', None) => (quote, quoted) = (Some(c), true),
            (_, Some(open)) if c == open => quote = None,
            _ => name.push(c),
        }
    }
    quote.is_none().then_some((name, quoted))
}
