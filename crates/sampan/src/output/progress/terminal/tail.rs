//! The last lines of a program's output, as a small terminal would show them.

use std::{collections::VecDeque, mem};

/// Understands what progress bars need: carriage return, backspace, tabulator, and the cursor's way up and down
/// and over what was written. Colours and all else are left out, so that nothing leaves its line.
#[derive(Debug)]
pub struct Tail {
    lines: VecDeque<Vec<char>>,
    most: usize,
    row: usize,
    column: usize,
    state: State,
    /// The beginning of a character of several bytes.
    partial: Vec<u8>,
    /// How much was written in all.
    pub bytes: usize,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    Escape,
    /// A control sequence's parameters so far.
    Control(String),
    /// A title or the like, up to BEL or ESC.
    Title,
}

/// What is written beyond is dropped; in characters.
const LONGEST_LINE: usize = 1000;

impl Tail {
    /// Nothing yet, and at most that many lines.
    pub fn new(most: usize) -> Tail {
        let lines = VecDeque::from([Vec::new()]);
        Tail { lines, most, row: 0, column: 0, state: State::Text, partial: Vec::new(), bytes: 0 }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        let mut all = mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            chunk.valid().chars().for_each(|c| self.character(c));
            if chunks.peek().is_none() && is_beginning(chunk.invalid()) {
                self.partial = chunk.invalid().to_vec();
            } else {
                self.character(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    /// The lines that have something on them.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let lines = self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned());
        lines.filter(|line| !line.is_empty())
    }

    fn character(&mut self, c: char) {
        self.state = match (mem::take(&mut self.state), c) {
            (State::Text | State::Title, '\x1b') => State::Escape,
            (State::Text, c) => {
                self.text(c);
                State::Text
            }
            (State::Escape, '[') => State::Control(String::new()),
            (State::Escape, ']') => State::Title,
            (State::Escape, _) | (State::Title, '\x07') => State::Text,
            (State::Title, _) => State::Title,
            (State::Control(parameters), '\x40'..='\x7e') => {
                self.control(&parameters, c);
                State::Text
            }
            (State::Control(mut parameters), c) => {
                parameters.push(c);
                // No sequence is that long: somebody printed a binary file.
                if parameters.len() > 32 { State::Text } else { State::Control(parameters) }
            }
        };
    }

    fn text(&mut self, c: char) {
        match c {
            '\n' => {
                self.column = 0;
                self.row += 1;
                if self.row == self.lines.len() {
                    self.lines.push_back(Vec::new());
                }
                // The line that the cursor is on is not counted before something is on it.
                while self.lines.len() > self.most + 1 {
                    self.lines.pop_front();
                    self.row = self.row.saturating_sub(1);
                }
            }
            '\r' => self.column = 0,
            '\x08' => self.column = self.column.saturating_sub(1),
            '\t' => self.column = (self.column / 8 + 1) * 8,
            c if c.is_control() || self.column >= LONGEST_LINE => {}
            c => {
                let line = &mut self.lines[self.row];
                if line.len() <= self.column {
                    line.resize(self.column + 1, ' ');
                }
                line[self.column] = c;
                self.column += 1;
                if self.lines.len() > self.most && self.lines.back().is_some_and(|last| !last.is_empty()) {
                    self.lines.pop_front();
                    self.row = self.row.saturating_sub(1);
                }
            }
        }
    }

    fn control(&mut self, parameters: &str, command: char) {
        let number = parameters.split(';').next().and_then(|number| number.parse().ok());
        let times = number.unwrap_or(1usize).max(1);
        let line = &mut self.lines[self.row];
        match (command, number.unwrap_or(0)) {
            ('A' | 'F', _) => self.row = self.row.saturating_sub(times),
            ('B' | 'E', _) => self.row = (self.row + times).min(self.lines.len() - 1),
            ('C', _) => self.column = (self.column + times).min(LONGEST_LINE),
            ('D', _) => self.column = self.column.saturating_sub(times),
            ('G', _) => self.column = (times - 1).min(LONGEST_LINE),
            ('K', 0) => line.truncate(self.column),
            ('K', 1) => line.iter_mut().take(self.column + 1).for_each(|c| *c = ' '),
            ('K', 2) => line.clear(),
            ('J', 0) => {
                line.truncate(self.column);
                self.lines.truncate(self.row + 1);
            }
            ('J', 2 | 3) => self.lines.iter_mut().for_each(Vec::clear),
            _ => {}
        }
        if matches!(command, 'E' | 'F') {
            self.column = 0;
        }
    }
}

/// Whether a character of UTF-8 may begin so, or there is nothing.
fn is_beginning(bytes: &[u8]) -> bool {
    let length = match bytes.first() {
        None => return true,
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        Some(_) => return false,
    };
    bytes.len() < length && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &[&[u8]], expected: &[&str]) {
        let mut tail = Tail::new(3);
        written.iter().for_each(|bytes| tail.write(bytes));
        assert_eq!(tail.lines().collect::<Vec<_>>(), expected, "{written:?}");
    }

    #[test]
    fn the_last_lines_are_kept() {
        check(&[b"1\n2\n3\n4\n"], &["2", "3", "4"]);
        check(&[b"1\n2\n3\n4"], &["2", "3", "4"]);
        check(&[b"one\n\n\nthree"], &["three"]);
    }

    #[test]
    fn what_is_written_over_is_gone() {
        check(&[b" 10%\r 99%\n"], &[" 99%"]);
        check(&[b"abcdef\rxy"], &["xycdef"]);
        check(&[b"abcdef\r\x1b[Kxy"], &["xy"]);
        check(&[b"abc\x08\x08X"], &["aXc"]);
    }

    #[test]
    fn a_cursor_that_goes_up_comes_back_to_its_line() {
        check(&[b"a: 1\nb: 1\n", b"\x1b[2Aa: 2\x1b[K\nb: 2\x1b[K\n"], &["a: 2", "b: 2"]);
        check(&[b"a\nb\n\x1b[9A\x1b[Jonly"], &["only"]);
    }

    #[test]
    fn colours_and_titles_are_left_out() {
        check(&[b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07and \x1b[38;2;1;2;3mmore\x1b(B"], &["red and moreB"]);
        check(&[b"a\tb\x00\x01"], &["a       b"]);
    }

    #[test]
    fn characters_may_come_in_pieces_and_bytes_may_be_none() {
        check(&[b"gr\xc3", b"\xbc\xc3\x9fe"], &["grüße"]);
        check(&[b"\xff\xfe", b"x"], &["\u{fffd}\u{fffd}x"]);
        check(&[b"\xe2\x82", b"x"], &["\u{fffd}x"]);
    }

    #[test]
    fn lines_do_not_grow_for_ever() {
        let mut tail = Tail::new(3);
        tail.write(&vec![b'x'; 10_000]);
        tail.write(b"\x1b[9999999C\tx");
        assert_eq!(tail.lines().next().unwrap().len(), LONGEST_LINE);
    }
}
