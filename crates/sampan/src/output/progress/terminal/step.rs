//! A step of the list, and the lines it takes up.

use std::time::Duration;

use anstyle::Style;

use super::{
    OUTPUT_LINES,
    layout::{Line, Row},
    tail::Tail,
};
use crate::output::{
    human::{display_width, ellipsis},
    progress::{Event, Palette, What, failures::Recent, log::Log},
};

pub struct Step {
    pub number: usize,
    pub name: String,
    began: Duration,
    pub end: Option<(End, Duration)>,
    notes: Vec<Note>,
    pub tail: Tail,
    log: Log,
    pub recent: Recent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Cached,
    Done,
    Failed,
    Canceled,
}

/// What stands below a step for good.
enum Note {
    Part { text: String, took: Duration },
    Remark(String),
}

/// How many lines of a failed step's output are told when all is over.
const TOLD_AGAIN: usize = 1000;

impl Step {
    pub fn new(number: usize, name: &str, began: Duration) -> Step {
        Step {
            number,
            name: name.to_owned(),
            began,
            end: None,
            notes: Vec::new(),
            tail: Tail::new(OUTPUT_LINES),
            log: Log::default(),
            recent: Recent::default(),
        }
    }

    pub fn hear(&mut self, event: &Event<'_>) {
        let since = event.at.saturating_sub(self.began);
        let end = match event.what {
            What::Started { .. } => return,
            What::Output { bytes, .. } => {
                self.tail.write(bytes);
                for line in self.log.hear(since, bytes) {
                    self.recent.keep(line, TOLD_AGAIN);
                }
                return;
            }
            What::Part(text) => {
                let before: Duration = self.notes.iter().map(Note::took).sum();
                let took = since.saturating_sub(before);
                self.notes.push(Note::Part { text: text.to_owned(), took });
                return;
            }
            What::Remark(text) => {
                self.notes.push(Note::Remark(text.to_owned()));
                return;
            }
            What::Cached => End::Cached,
            What::Done => End::Done,
            What::Failed { .. } => End::Failed,
            What::Canceled => End::Canceled,
        };
        if let Some(line) = self.log.end() {
            self.recent.keep(line, TOLD_AGAIN);
        }
        self.end = Some((end, event.at));
    }

    /// Its lines as they are `now`; with the end of its output if it `speaks`.
    pub fn rows(&self, now: Duration, columns: usize, palette: &Palette, speaks: bool) -> Vec<Row> {
        let until = self.end.map_or(now, |(_, at)| at);
        let (prefix, style) = match self.end {
            None => ("", Style::new()),
            Some((End::Cached, _)) => ("CACHED ", palette.run),
            Some((End::Done, _)) => ("", palette.run),
            Some((End::Failed, _)) => ("ERROR ", palette.error),
            Some((End::Canceled, _)) => ("CANCELED ", palette.cancel),
        };
        let is_running = self.end.is_none();
        let text =
            timed(&format!(" => {prefix}{}", self.name), Some(until.saturating_sub(self.began)), columns);
        let output = self.tail.lines().filter(|_| speaks && is_running);
        let below = output.map(|line| Line {
            text: ellipsis(&format!(" => => # {line}"), columns - 1),
            style: palette.output,
        });
        let mut rows = vec![Row { line: Line { text, style }, is_running, below: below.collect() }];
        rows.extend(self.notes.iter().map(|note| {
            let (text, took, style) = match note {
                Note::Part { text, took } => (text, Some(*took), palette.run),
                Note::Remark(text) => (text, None, palette.warning),
            };
            let text = timed(&format!(" => => {text}"), took, columns);
            Row { line: Line { text, style }, is_running: false, below: Vec::new() }
        }));
        rows
    }
}

impl Note {
    fn took(&self) -> Duration {
        match self {
            Note::Part { took, .. } => *took,
            Note::Remark(_) => Duration::ZERO,
        }
    }
}

/// A line with a time at its end.
fn timed(text: &str, took: Option<Duration>, columns: usize) -> String {
    let time = took.map(|took| format!("{:.1}s", took.as_secs_f64())).unwrap_or_default();
    // The last column stays empty, and two stand between.
    let room = columns.saturating_sub(time.len() + 3);
    let text = ellipsis(&printable(text), room);
    let gap = " ".repeat(room.saturating_sub(display_width(&text)) + 2);
    format!("{text}{gap}{time}").trim_end().to_owned()
}

/// What a Dockerfile says must not move the cursor in the list.
fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
