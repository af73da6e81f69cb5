//! What is wrong with a Dockerfile, shown where it is wrong.
//!
//! A [`Problem`] is found deep inside, where only spans are known; a [`Diagnostic`] is a problem together with
//! the text it is about, and can be shown.

use std::{fmt, ops::Range};

/// A place in the Dockerfile: a range of bytes of its text.
pub type Span = Range<usize>;

/// Something wrong at a place, in docker's words where docker has words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    pub span: Span,
    /// What to do about it, if that is known.
    pub help: Option<String>,
    pub origin: Origin,
    /// What was most likely meant.
    pub suggestion: Option<String>,
}

/// When a problem was found. BuildKit names the line of what is wrong with an instruction, and of nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Cutting the text into words. BuildKit does that for the whole file, before it reads any instruction.
    Syntax,
    /// Reading an instruction from its words.
    Instruction,
    /// Carrying instructions out.
    Meaning,
}

impl Problem {
    pub fn new(message: impl Into<String>, span: Span) -> Problem {
        let origin = Origin::Meaning;
        Problem { message: message.into(), span, help: None, origin, suggestion: None }
    }

    /// A problem with words that no instruction could be read from.
    pub fn of_syntax(message: impl Into<String>, span: Span) -> Problem {
        Problem { origin: Origin::Syntax, ..Problem::new(message, span) }
    }

    /// The same, known to be found while an instruction was read.
    pub fn in_an_instruction(self) -> Problem {
        match self.origin {
            Origin::Syntax | Origin::Instruction => self,
            Origin::Meaning => Problem { origin: Origin::Instruction, ..self },
        }
    }

    /// Whether it is found before any instruction is read.
    pub fn is_of_syntax(&self) -> bool {
        self.origin == Origin::Syntax
    }

    /// Adds the candidate that `word` was most likely meant to be, if one is near.
    pub fn suggesting<'a>(self, word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Problem {
        let candidate = nearest(word, candidates).map(str::to_owned);
        self.meaning(candidate)
    }

    /// The same for a word whose case means nothing: the candidate is written as the word was.
    pub fn suggesting_in_any_case(self, word: &str, candidates: &[&str]) -> Problem {
        let in_case = |text: &str| match word == word.to_lowercase() {
            true => text.to_lowercase(),
            false => text.to_uppercase(),
        };
        let candidates: Vec<String> = candidates.iter().map(|candidate| in_case(candidate)).collect();
        let candidate = nearest(&in_case(word), candidates.iter().map(String::as_str)).map(str::to_owned);
        self.meaning(candidate)
    }

    fn meaning(mut self, candidate: Option<String>) -> Problem {
        if let Some(candidate) = candidate {
            self.help = Some(format!("did you mean {candidate}?"));
            self.suggestion = Some(candidate);
        }
        self
    }

    pub fn helped(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// The message in one line, with what was most likely meant, as BuildKit has it.
    pub fn summary(&self) -> String {
        match self.suggestion.as_deref().map(|suggestion| suggestion.trim_start_matches("--")) {
            Some(suggestion) => format!("{} (did you mean {suggestion}?)", self.message),
            None => self.message.clone(),
        }
    }
}

/// A [`Problem`] with the file it is in. Displays as one line; [`Diagnostic::excerpt`] shows the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub file: String,
    pub source: String,
    pub problem: Problem,
}

impl Diagnostic {
    /// The line the problem begins on, from 1.
    pub fn line(&self) -> usize {
        line_of(&self.source, self.problem.span.start)
    }

    /// The first and the last line the problem is on, from 1; `None` if it is about no place in particular.
    pub fn lines(&self) -> Option<(usize, usize)> {
        (!self.problem.span.is_empty()).then(|| (self.line(), self.last_line()))
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
        let lines = (self.line(), self.last_line());
        excerpt(&self.file, &self.source, lines, |line| self.underlined(line))
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
        let begin = self.source.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
        let part = line.get(start - begin..(self.problem.span.end - begin).min(line.len()))?;
        if part.trim().is_empty() || part.trim() == line.trim() {
            return None;
        }
        let before = line.get(..start - begin)?.chars().map(|c| if c == '\t' { '\t' } else { ' ' });
        Some(before.collect::<String>() + &"^".repeat(part.trim_end().chars().count()))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.problem.origin == Origin::Instruction {
            write!(f, "dockerfile parse error on line {}: ", self.line())?;
        }
        write!(f, "{}", self.problem.summary())
    }
}

impl std::error::Error for Diagnostic {}

/// The line that a byte of `source` is on, from 1.
pub fn line_of(source: &str, at: usize) -> usize {
    source.as_bytes()[..at.min(source.len())].iter().filter(|b| **b == b'\n').count() + 1
}

/// The lines of `source` from the first to the last of `lines`, marked, with a few around them, as BuildKit shows them.
pub fn marked_lines(file: &str, source: &str, lines: (usize, usize)) -> String {
    excerpt(file, source, lines, |_| None)
}

/// Below a single line stands what `underline` makes of it.
fn excerpt(
    file: &str,
    source: &str,
    (first, last): (usize, usize),
    underline: impl Fn(&str) -> Option<String>,
) -> String {
    let lines: Vec<&str> = source.split('\n').collect();
    let (from, to) = surroundings(first, last, lines.len());
    let mut text = format!("{file}:{first}\n{RULER}\n");
    for number in from..=to {
        let mark = if (first..=last).contains(&number) { ">>>" } else { "" };
        let line = lines[number - 1].trim_end_matches('\r');
        text.push_str(&format!(" {number:>3} | {mark:3} {line}\n"));
        if number == first && first == last {
            text.extend(underline(line).map(|marks| format!("     |     {marks}\n")));
        }
    }
    text + RULER + "\n"
}

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

/// The candidate that takes the fewest edits to reach from `word`, unless that is more than two.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= FARTHEST)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The Levenshtein distance: insertions, deletions and substitutions.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (i, c) in from.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in to.iter().enumerate() {
            let substituted = above[j] + usize::from(c != *other);
            row.push(substituted.min(above[j + 1] + 1).min(row[j] + 1));
        }
        above = row;
    }
    above[to.len()]
}

/// How many edits a suggestion may be away, as in BuildKit.
const FARTHEST: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_and_a_distant_one_is_not() {
        let known = ["FROM", "RUN", "CMD", "ENTRYPOINT"];
        for (word, expected) in [
            ("FORM", Some("FROM")),
            ("RUNN", Some("RUN")),
            ("run", None),
            ("ENTRYPONT", Some("ENTRYPOINT")),
            ("BANANA", None),
            ("zzz", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }

    #[test]
    fn a_suggestion_is_written_as_the_word_was() {
        let summary =
            |word: &str| Problem::new("no", 0..0).suggesting_in_any_case(word, &["RUN", "FROM"]).summary();
        assert_eq!(summary("RUNN"), "no (did you mean RUN?)");
        assert_eq!(summary("runn"), "no (did you mean run?)");
        assert_eq!(summary("banana"), "no");
    }

    #[test]
    fn a_diagnostic_names_the_line_and_marks_the_place() {
        let problem = Problem::new("unknown instruction: RUNN", 8..12).suggesting("RUNN", ["RUN", "FROM"]);
        let diagnostic = Diagnostic {
            file: "Dockerfile".into(),
            source: "FROM a\n\nRUNN b\n".into(),
            problem: problem.in_an_instruction(),
        };
        let line = "dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)";
        assert_eq!(diagnostic.to_string(), line);
        let ruler = "--------------------";
        assert_eq!(
            diagnostic.excerpt(),
            format!(
                "Dockerfile:3\n{ruler}\n   1 |     FROM a\n   2 |     \n   3 | >>> RUNN b\n     |     ^^^^\n   4 |     \n\
                 {ruler}\n"
            )
        );
    }

    #[test]
    fn an_excerpt_marks_the_lines_and_shows_some_around_them() {
        let source = "1\n2\n3\n4\n5\n6\n7\n8\n9";
        let shown = |first, last| {
            let text = marked_lines("f", source, (first, last));
            let lines = text.lines().filter(|line| line.contains('|'));
            let short = |line: &str| {
                let mark = if line.contains(">>>") { "!" } else { "" };
                format!("{mark}{}", line.trim_start().split(' ').next().unwrap_or_default())
            };
            lines.map(short).collect::<Vec<_>>().join(" ")
        };
        // As docker buildx shows them.
        assert_eq!(shown(5, 5), "3 4 !5 6 7");
        assert_eq!(shown(5, 7), "4 !5 !6 !7 8");
        assert_eq!(shown(1, 1), "!1 2 3");
        assert_eq!(shown(1, 2), "!1 !2 3");
        assert_eq!(shown(9, 9), "7 8 !9");
        assert_eq!(shown(1, 9), "!1 !2 !3 !4 !5 !6 !7 !8 !9");
    }

    #[test]
    fn only_what_is_wrong_with_an_instruction_names_its_line() {
        let shown = |problem: Problem| {
            Diagnostic { file: "Dockerfile".into(), source: "FROM a\nENV x\n".into(), problem }.to_string()
        };
        assert_eq!(shown(Problem::new("invalid signal: x", 7..8)), "invalid signal: x");
        let syntax = Problem::of_syntax("ENV must have two arguments", 7..8).in_an_instruction();
        assert_eq!(shown(syntax), "ENV must have two arguments");
    }
}
