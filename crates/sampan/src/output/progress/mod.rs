//! A build's progress, told step by step.
//!
//! Knows steps by number and name, and time as what has passed since the build began. Knows nothing of
//! what a step does, of clocks, and of where the text goes.

mod plain;
mod terminal;

use std::{
    io::{self, Write},
    str::FromStr,
    time::Duration,
};

pub use plain::Plain;
pub use terminal::Terminal;

/// Something that happened to a step. Steps count from 1 in the order in which they appear.
pub struct Event<'a> {
    pub step: usize,
    /// Since the build began.
    pub at: Duration,
    pub what: What<'a>,
}

#[derive(Clone, Copy)]
pub enum What<'a> {
    /// The step is known under this name, such as `[2/4] WORKDIR /app`, and begins.
    Started {
        name: &'a str,
    },
    /// The step's program wrote this.
    Output(&'a [u8]),
    /// The result was there already.
    Cached,
    Done,
    Failed {
        message: &'a str,
    },
}

impl What<'_> {
    fn is_end(&self) -> bool {
        matches!(self, What::Cached | What::Done | What::Failed { .. })
    }
}

/// What `--progress` accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// A live view on a terminal, else plain lines.
    #[default]
    Auto,
    Plain,
    Tty,
    Quiet,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid progress mode {0:?}: expected auto, plain, tty or quiet")]
pub struct InvalidMode(String);

impl FromStr for Mode {
    type Err = InvalidMode;

    fn from_str(text: &str) -> Result<Mode, InvalidMode> {
        match text {
            "auto" => Ok(Mode::Auto),
            "plain" => Ok(Mode::Plain),
            "tty" => Ok(Mode::Tty),
            "quiet" => Ok(Mode::Quiet),
            other => Err(InvalidMode(other.to_owned())),
        }
    }
}

/// The terminal that a live view is drawn on.
#[derive(Clone, Copy)]
pub struct Screen {
    pub columns: u16,
    pub rows: u16,
    pub colour: bool,
}

/// One of the ways to show progress, writing to `W`.
pub enum Progress<W> {
    Plain(Plain<W>),
    Terminal(Terminal<W>),
    Quiet,
}

impl<W: Write> Progress<W> {
    /// `screen` is what `out` is, if it is a terminal.
    pub fn new(mode: Mode, out: W, screen: Option<Screen>) -> Progress<W> {
        let unknown = Screen { columns: 80, rows: 24, colour: false };
        match (mode, screen) {
            (Mode::Quiet, _) => Progress::Quiet,
            (Mode::Plain, _) | (Mode::Auto, None) => Progress::Plain(Plain::new(out)),
            (Mode::Tty, screen) => Progress::Terminal(Terminal::new(out, screen.unwrap_or(unknown))),
            (Mode::Auto, Some(screen)) => Progress::Terminal(Terminal::new(out, screen)),
        }
    }

    /// Whether the view changes as time passes: see [`Progress::tick`].
    pub fn is_live(&self) -> bool {
        matches!(self, Progress::Terminal(_))
    }

    /// Shows that `event` happened.
    pub fn show(&mut self, event: &Event<'_>) -> io::Result<()> {
        match self {
            Progress::Plain(plain) => plain.show(event),
            Progress::Terminal(terminal) => terminal.show(event),
            Progress::Quiet => Ok(()),
        }
    }

    /// Lets the live view's clocks advance. Worth calling some ten times a second.
    pub fn tick(&mut self, now: Duration) -> io::Result<()> {
        match self {
            Progress::Terminal(terminal) => terminal.draw(now),
            Progress::Plain(_) | Progress::Quiet => Ok(()),
        }
    }

    /// Leaves the last view standing; the build is over.
    pub fn finish(&mut self, now: Duration) -> io::Result<()> {
        match self {
            Progress::Terminal(terminal) => terminal.finish(now),
            Progress::Plain(plain) => plain.finish(),
            Progress::Quiet => Ok(()),
        }
    }
}

/// The complete lines in `pending` and `bytes`, leaving what has no newline yet in `pending`.
fn take_lines(pending: &mut Vec<u8>, bytes: &[u8]) -> Vec<String> {
    pending.extend_from_slice(bytes);
    let complete = pending.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let text: Vec<u8> = pending.drain(..complete).collect();
    let lines = text.split_inclusive(|b| *b == b'\n');
    lines.map(|line| String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_is_live_on_a_terminal_only() {
        let view = |mode: &str, screen| {
            let progress = Progress::new(mode.parse().unwrap(), io::sink(), screen);
            match (&progress, progress.is_live()) {
                (Progress::Plain(_), false) => "plain",
                (Progress::Terminal(_), true) => "terminal",
                (Progress::Quiet, false) => "quiet",
                _ => "neither live nor still",
            }
        };
        let screen = Some(Screen { columns: 80, rows: 24, colour: true });
        assert_eq!(view("auto", screen), "terminal");
        assert_eq!(view("auto", None), "plain");
        assert_eq!(view("tty", None), "terminal");
        assert_eq!(view("plain", screen), "plain");
        assert_eq!(view("quiet", screen), "quiet");
        assert_eq!("x".parse::<Mode>(), Err(InvalidMode("x".to_owned())));
    }

    #[test]
    fn lines_wait_for_their_end() {
        let mut pending = Vec::new();
        assert_eq!(take_lines(&mut pending, b"one\r\ntw"), ["one"]);
        assert_eq!(take_lines(&mut pending, b"o\n\nthree"), ["two", ""]);
        assert_eq!(pending, b"three");
    }
}
