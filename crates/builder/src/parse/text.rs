//! Text that remembers where in the Dockerfile it stood.

use std::ops::Range;

use crate::diagnostic::Span;

/// An instruction's text with comments and line continuations taken out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text {
    text: String,
    /// Where each piece begins: (byte in `text`, byte in the Dockerfile).
    pieces: Vec<(usize, usize)>,
}

/// A part of an instruction and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub span: Span,
}

impl Text {
    /// Appends a piece of the Dockerfile that begins at `source`.
    pub fn push(&mut self, piece: &str, source: usize) {
        self.pieces.push((self.text.len(), source));
        self.text.push_str(piece);
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The place in the Dockerfile of `range` of this text.
    pub fn span(&self, range: Range<usize>) -> Span {
        let start = self.source_of(range.start);
        let end = if range.is_empty() { start } else { self.source_of(range.end - 1) + 1 };
        start..end
    }

    /// The place of all of it.
    pub fn whole(&self) -> Span {
        self.span(0..self.text.len())
    }

    /// The part in `range` as a text of its own.
    pub fn slice(&self, range: Range<usize>) -> Text {
        let mut pieces = vec![(0, self.source_of(range.start))];
        let within = |(at, _): &&(usize, usize)| *at > range.start && *at < range.end;
        pieces.extend(self.pieces.iter().filter(within).map(|(at, source)| (at - range.start, *source)));
        Text { text: self.text[range].to_owned(), pieces }
    }

    /// Without white space at either end.
    pub fn trim(&self) -> Text {
        let start = self.text.len() - self.text.trim_start().len();
        self.slice(start..start + self.text.trim().len())
    }

    /// The word in `range`.
    pub fn word(&self, range: Range<usize>) -> Word {
        Word { text: self.text[range.clone()].to_owned(), span: self.span(range) }
    }

    fn source_of(&self, offset: usize) -> usize {
        let piece = self.pieces.partition_point(|(at, _)| *at <= offset);
        match piece.checked_sub(1).map(|last| self.pieces[last]) {
            Some((at, source)) => source + (offset - at),
            None => offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_across_pieces_and_in_slices() {
        let source = "RUN a \\\n  bc";
        let mut text = Text::default();
        text.push("RUN a ", 0);
        text.push("  bc", 8);
        assert_eq!(&source[text.span(8..10)], "bc");
        let slice = text.slice(3..10).trim();
        assert_eq!(slice.as_str(), "a   bc");
        assert_eq!(&source[slice.span(4..6)], "bc");
        assert_eq!(slice.whole(), 4..12);
    }
}
