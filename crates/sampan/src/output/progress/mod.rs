//! A build's progress, told step by step, in the forms BuildKit has for it.
//!
//! Knows steps by number and name, and time as what has passed since the build began. Knows nothing of
//! what a step does, of clocks, and of where the text goes. Steps may go on at the same time: what happens to
//! them arrives in any order.

mod colours;
mod failures;
mod json;
mod log;
mod plain;
mod terminal;

use std::{
    io::{self, Write},
    str::FromStr,
    time::{Duration, SystemTime},
};

use builder::Stream;

pub use colours::Palette;
pub use json::RawJson;
pub use plain::Plain;
pub use terminal::Terminal;

/// Something that happened to a step. Steps count from 1 in the order in which they appear.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    pub step: usize,
    /// Since the build began.
    pub at: Duration,
    pub what: What<'a>,
}

#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// The step is known under this name, such as `[2/4] WORKDIR /app`, and begins.
    Started {
        name: &'a str,
    },
    /// The step's program wrote this.
    Output {
        stream: Stream,
        bytes: &'a [u8],
    },
    /// A part of the step is done: `exporting layers`.
    Part(&'a str),
    /// Something to know about the step: why it was not cached.
    Remark(&'a str),
    /// The result was there already.
    Cached,
    Done,
    Failed {
        message: &'a str,
    },
    /// It was ended because another step failed.
    Canceled,
}

impl What<'_> {
    fn is_end(&self) -> bool {
        matches!(self, What::Cached | What::Done | What::Failed { .. } | What::Canceled)
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
    /// JSON lines for programs.
    RawJson,
    /// Nothing but the image's id in the end.
    Quiet,
    /// Nothing at all.
    None,
}

/// Why progress cannot be shown so.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModeError {
    #[error("invalid progress mode {0}")]
    Unknown(String),
    #[error("failed to get console: provided file is not a console")]
    NoTerminal,
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Mode, ModeError> {
        match text {
            "" | "auto" => Ok(Mode::Auto),
            "plain" => Ok(Mode::Plain),
            "tty" => Ok(Mode::Tty),
            "rawjson" => Ok(Mode::RawJson),
            "quiet" => Ok(Mode::Quiet),
            "none" => Ok(Mode::None),
            other => Err(ModeError::Unknown(other.to_owned())),
        }
    }
}

/// The size of the terminal that a live view is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    pub columns: u16,
    pub rows: u16,
}

/// One of the ways to show progress, writing to `W`.
pub enum Progress<W> {
    Plain(Plain<W>),
    Terminal(Terminal<W>),
    Json(RawJson<W>),
    Silent,
}

impl<W: Write> Progress<W> {
    /// `screen` is what `out` is, if it is a terminal on which a live view can be drawn; `began` is when the
    /// build did.
    pub fn new(
        mode: Mode,
        out: W,
        screen: Option<Screen>,
        palette: Palette,
        began: SystemTime,
    ) -> Result<Progress<W>, ModeError> {
        Ok(match (mode, screen) {
            (Mode::Quiet | Mode::None, _) => Progress::Silent,
            (Mode::RawJson, _) => Progress::Json(RawJson::new(out, began)),
            (Mode::Plain, _) | (Mode::Auto, None) => Progress::Plain(Plain::new(out)),
            (Mode::Tty, None) => return Err(ModeError::NoTerminal),
            (Mode::Auto | Mode::Tty, Some(screen)) => Progress::Terminal(Terminal::new(out, screen, palette)),
        })
    }

    /// Whether what is shown changes as time passes: see [`Progress::tick`].
    pub fn is_live(&self) -> bool {
        matches!(self, Progress::Terminal(_) | Progress::Plain(_))
    }

    /// Shows that `event` happened.
    pub fn show(&mut self, event: &Event<'_>) -> io::Result<()> {
        match self {
            Progress::Plain(plain) => plain.show(event),
            Progress::Terminal(terminal) => terminal.show(event),
            Progress::Json(json) => json.show(event),
            Progress::Silent => Ok(()),
        }
    }

    /// Takes note that `steps` will appear which did not yet.
    pub fn expect(&mut self, steps: usize) {
        if let Progress::Terminal(terminal) = self {
            terminal.expect(steps);
        }
    }

    /// Lets the clocks of a live view advance, and those speak in plain lines who wait for it. Worth calling some
    /// ten times a second. `screen` is the terminal's size now, if it is known.
    pub fn tick(&mut self, now: Duration, screen: Option<Screen>) -> io::Result<()> {
        match self {
            Progress::Terminal(terminal) => terminal.tick(now, screen),
            Progress::Plain(plain) => plain.tick(now),
            Progress::Json(_) | Progress::Silent => Ok(()),
        }
    }

    /// Leaves the last view standing; the build is over. What the steps that failed had to say follows.
    pub fn finish(&mut self, now: Duration, screen: Option<Screen>) -> io::Result<()> {
        match self {
            Progress::Terminal(terminal) => terminal.finish(now, screen),
            Progress::Plain(plain) => plain.finish(),
            Progress::Json(_) | Progress::Silent => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_is_live_on_a_terminal_only() {
        let view = |mode: &str, screen| {
            let mode = mode.parse().unwrap();
            let palette = Palette::none();
            match Progress::new(mode, io::sink(), screen, palette, SystemTime::UNIX_EPOCH) {
                Ok(Progress::Plain(_)) => "plain",
                Ok(Progress::Terminal(_)) => "terminal",
                Ok(Progress::Json(_)) => "json",
                Ok(Progress::Silent) => "nothing",
                Err(_) => "an error",
            }
        };
        let screen = Some(Screen { columns: 80, rows: 24 });
        assert_eq!(view("auto", screen), "terminal");
        assert_eq!(view("auto", None), "plain");
        assert_eq!(view("tty", screen), "terminal");
        assert_eq!(view("tty", None), "an error");
        assert_eq!(view("plain", screen), "plain");
        assert_eq!(view("rawjson", screen), "json");
        assert_eq!(view("quiet", screen), "nothing");
        assert_eq!(view("none", screen), "nothing");
        assert_eq!("x".parse::<Mode>(), Err(ModeError::Unknown("x".to_owned())));
    }
}
