//! Physical lines become logical ones: comments and empty lines go, continued lines are joined.

use super::{directives::Directives, text::Text};

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

impl<'a> Lines<'a> {
    pub fn new(source: &'a str) -> Lines<'a> {
        let at = if source.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Lines { source, at }
    }

    /// The next logical line that is not blank, and the place where its last physical line ends.
    pub fn next_logical(&mut self, directives: &Directives) -> Option<(Text, usize)> {
        loop {
            let line = self.next()?;
            if is_comment(line.text) {
                continue;
            }
            let start = line.start + (line.text.len() - line.text.trim_start().len());
            let mut text = Text::default();
            let mut end = line.start + line.text.len();
            let (piece, mut continued) = without_continuation(line.text.trim_start(), directives.escape);
            text.push(piece, start);
            if piece.is_empty() && !continued {
                continue;
            }
            while continued {
                let Some(line) = self.next() else { break };
                // Docker warns of empty lines inside an instruction, and skips them like comments.
                if is_comment(line.text) || line.text.trim().is_empty() {
                    continue;
                }
                let (piece, more) = without_continuation(line.text, directives.escape);
                text.push(piece, line.start);
                end = line.start + line.text.len();
                continued = more;
            }
            if !text.as_str().trim().is_empty() {
                return Some((text, end));
            }
        }
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
        let text = raw.strip_suffix('\n').unwrap_or(raw);
        Some(Line { text: text.strip_suffix('\r').unwrap_or(text), start, raw })
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Cuts a single escape character at the end, white space after it included; two of them escape each other.
fn without_continuation(line: &str, escape: char) -> (&str, bool) {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape);
    match before {
        Some(before) if !before.ends_with(escape) => (before, true),
        _ => (line, false),
    }
}
