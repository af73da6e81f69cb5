//! What is wrong with a Dockerfile, shown where it is wrong.
//!
//! A [`Problem`] is found deep inside, where only spans are known; a [`Diagnostic`] is a problem together with
//! the text it is about, and can be shown.

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A place in the Dockerfile: a range of bytes of its text.
pub type Span = Range<usize>;

/// Something wrong at a place, in docker's words where docker has words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    pub span: Span,
    /// What to do about it, if that is known.
    pub help: Option<String>,
}

impl Problem {
    pub fn new(message: impl Into<String>, span: Span) -> Problem {
        Problem { message: message.into(), span, help: None }
    }

    /// Adds the candidate that `word` was most likely meant to be, if one is near.
    pub fn suggesting<'a>(mut self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Problem {
        self.help = nearest(word, candidates).map(|candidate| format!("did you mean {candidate}?"));
        self
    }

    pub fn helped(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}

/// A [`Problem`] with the file it is in. Displays as one line; [`Diagnostic::snippet`] shows the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub file: String,
    pub source: String,
    pub problem: Problem,
}

impl Diagnostic {
    /// The line the problem begins on, from 1.
    pub fn line(&self) -> usize {
        let start = self.problem.span.start.min(self.source.len());
        self.source.as_bytes()[..start].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// The lines around the problem, those that it is about marked, as BuildKit shows them. Below a line of which it is
    /// about a part, that part is marked too.
    ///
    /// ```text
    /// Dockerfile:2
    /// --------------------
    ///    1 |     FROM busybox
    ///    2 | >>> RUNN true
    ///      |     ^^^^
    ///    3 |     
    /// --------------------
    /// ```
    ///
    /// Nothing if it is about no place in particular.
    pub fn excerpt(&self) -> String {
        if self.problem.span.is_empty() {
            return String::new();
        }
        let lines: Vec<&str> = self.source.split('\n').collect();
        let (first, last) = (self.line(), self.last_line());
        let (from, to) = surroundings(first, last, lines.len());
        let mut text = format!("{}:{first}\n{RULER}\n", self.file);
        for number in from..=to {
            let mark = if (first..=last).contains(&number) { ">>>" } else { "" };
            let line = lines[number - 1].trim_end_matches('\r');
            text.push_str(&format!(" {number:>3} | {mark:3} {line}\n"));
            if number == first && first == last {
                text.push_str(
                    &self.underlined(line).map(|marks| format!("     |     {marks}\n")).unwrap_or_default(),
                );
            }
        }
        text.push_str(&format!("{RULER}\n"));
        text
    }

    /// The line the problem ends on, from 1.
    fn last_line(&self) -> usize {
        let end = self.problem.span.end.min(self.source.len());
        let text = &self.source.as_bytes()[..end];
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        (text.iter().filter(|b| **b == b'\n').count() + 1).max(self.line())
    }

    /// Marks for the part of `line` that the problem is about, if that is not all of it.
    fn underlined(&self, line: &str) -> Option<String> {
        let start = self.problem.span.start.min(self.source.len());
        let begin = self.source[..start].rfind('\n').map_or(0, |at| at + 1);
        let part = line.get(start - begin..(self.problem.span.end - begin).min(line.len()))?;
        if part.trim().is_empty() || part.trim() == line.trim() {
            return None;
        }
        let before = line.get(..start - begin)?.chars().map(|c| if c == '\t' { '\t' } else { ' ' });
        Some(before.collect::<String>() + &"^".repeat(part.trim_end().chars().count()))
    }

    /// The lines around the problem with it marked, headed by `title`; with colours if `styled`.
    pub fn snippet(&self, title: &str, styled: bool) -> String {
        let end = self.problem.span.end.min(self.source.len());
        let span = self.problem.span.start.min(end)..end;
        let mut group = Group::with_title(Level::ERROR.primary_title(title)).element(
            Snippet::source(self.source.as_str())
                .path(self.file.as_str())
                .annotation(AnnotationKind::Primary.span(span)),
        );
        if let Some(help) = &self.problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dockerfile parse error on line {}: {}", self.line(), self.problem.message)
    }
}

impl std::error::Error for Diagnostic {}

/// The first and the last line to show of `count`, so that those from `first` to `last` are seen with what is around them.
/// As BuildKit chooses: a line more on either side where there is one, twice if it is a single line, at the file's edge
/// more on the other side.
fn surroundings(first: usize, last: usize, count: usize) -> (usize, usize) {
    let wanted = if first == last { 4 } else { 2 };
    let (mut from, mut to, mut added) = (first, last.min(count), 0);
    while added < wanted {
        if from > 1 {
            from -= 1;
            added += 1;
        }
        if to != count {
            to += 1;
            added += 1;
        }
        added += 1;
    }
    (from, to)
}

const RULER: &str = "--------------------";

/// The candidate that takes the fewest edits to reach from `word`, whatever the case, unless it is too far off.
fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let most = (word.chars().count() / 2).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (edits(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let substituted = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut least = substituted.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_and_a_distant_one_is_not() {
        let known = ["FROM", "RUN", "CMD", "ENTRYPOINT"];
        for (word, expected) in [
            ("FORM", Some("FROM")),
            ("RUNN", Some("RUN")),
            ("entrypont", Some("ENTRYPOINT")),
            ("BANANA", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }

    #[test]
    fn a_diagnostic_names_the_line_and_marks_the_place() {
        let diagnostic = Diagnostic {
            file: "Dockerfile".into(),
            source: "FROM a\n\nRUNN b\n".into(),
            problem: Problem::new("unknown instruction: RUNN", 8..12).suggesting("RUNN", ["RUN", "FROM"]),
        };
        assert_eq!(diagnostic.to_string(), "dockerfile parse error on line 3: unknown instruction: RUNN");
        let shown = diagnostic.snippet("unknown instruction: RUNN", false);
        for part in ["Dockerfile:3:1", "RUNN b", "^^^^", "did you mean RUN?"] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
    }
}
