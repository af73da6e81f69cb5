//! Physical lines become logical ones: comments and empty lines go, continued lines are joined.

use super::{directives::Directives, text::Text};
use crate::diagnostic::Span;

/// The lines of a Dockerfile with their places, without line ends.
pub struct Lines<'a> {
    source: &'a str,
    at: usize,
}

/// One physical line.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub text: &'a str,
    pub start: usize,
    /// With the line end, as it is in the file.
    pub raw: &'a str,
}

/// What one instruction is made of, before anything is read from it.
pub struct LogicalLine {
    pub text: Text,
    /// The place where its last physical line ends.
    pub end: usize,
    /// The comments before it, as BuildKit collects them: blank lines do not end them, an empty comment does.
    pub comments: Vec<String>,
    /// Its last physical line, if it was continued over an empty one.
    pub gap: Option<Span>,
}

impl<'a> Lines<'a> {
    pub fn new(source: &'a str) -> Lines<'a> {
        let at = if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Lines { source, at }
    }

    /// The next logical line that is not blank.
    pub fn next_logical(&mut self, directives: &Directives) -> Option<LogicalLine> {
        let mut comments = Vec::new();
        let (line, piece, mut continued) = loop {
            let line = self.next()?;
            if is_comment(line.text) {
                if line.start >= directives.end {
                    collect_comment(&mut comments, line.text);
                }
                continue;
            }
            let (piece, continued) = without_continuation(line.text.trim_start(), directives.escape);
            if !piece.is_empty() || continued {
                break (line, piece, continued);
            }
        };
        let mut text = Text::default();
        text.push(piece, line.start + (line.text.len() - line.text.trim_start().len()));
        let mut last = line.start..line.start + line.text.len();
        let mut has_gap = false;
        while continued {
            let Some(line) = self.next() else { break };
            if is_comment(line.text) {
                continue;
            }
            last = line.start..line.start + line.text.len();
            if line.text.trim().is_empty() {
                has_gap = true;
                continue;
            }
            let (piece, more) = without_continuation(line.text, directives.escape);
            text.push(piece, line.start);
            continued = more;
        }
        Some(LogicalLine { text, end: last.end, comments, gap: has_gap.then_some(last) })
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = &self.source[self.at..];
        if rest.is_empty() {
            return None;
        }
        let length = rest.find('\n').map_or(rest.len(), |end| end + 1);
        let (raw, start) = (&rest[..length], self.at);
        self.at += length;
        Some(Line { text: raw.trim_end_matches(['\r', '\n']), start, raw })
    }
}

/// The part of `source` before the first line that is too long, and the place of that line.
pub fn split_at_endless_line(source: &str) -> (&str, Option<Span>) {
    let endless = |line: &Line<'_>| line.raw.trim_end_matches('\n').len() > LONGEST;
    match Lines::new(source).find(endless) {
        None => (source, None),
        Some(line) => (&source[..line.start], Some(line.start..line.start + line.text.len())),
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

fn collect_comment(comments: &mut Vec<String>, line: &str) {
    // Of an indented comment BuildKit takes away the first space instead of the `#`.
    let after_first = line.char_indices().nth(1).map_or("", |(at, _)| &line[at..]);
    match after_first.trim() {
        "" => comments.clear(),
        comment => comments.push(comment.to_owned()),
    }
}

/// Cuts a single escape character at the end, white space after it included; two of them escape each other.
fn without_continuation(line: &str, escape: char) -> (&str, bool) {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape);
    match before {
        Some(before) if !before.ends_with(escape) => (before, true),
        _ => (line, false),
    }
}

/// What BuildKit takes for one physical line, in bytes without the line feed.
pub const LONGEST: usize = 65_535;
