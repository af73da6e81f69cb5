//! Progress as a live list on a terminal, redrawn in place.
//!
//! ```text
//! [+] Building 1.2s (3/4)
//!  => CACHED [2/4] WORKDIR /app                       0.0s
//!  => [3/4] RUN pip install                           1.1s
//!  => => # Collecting flask
//! ```

mod layout;
mod step;
mod tail;

use std::{
    io::{self, Write},
    time::Duration,
};

use super::{Event, Palette, Screen, What, failures::Failures};
use crate::output::human::ellipsis;
use layout::{Line, fitting, speakers};
use step::{End, Step};

/// Draws the list on `W`.
pub struct Terminal<W> {
    out: W,
    screen: Screen,
    palette: Palette,
    steps: Vec<Step>,
    /// How many steps will have been, as far as is known.
    total: usize,
    /// The last drawing, which is above the cursor.
    drawn: Option<Drawing>,
}

struct Drawing {
    at: Duration,
    /// How wide each of its lines is.
    widths: Vec<usize>,
}

/// Between two drawings there is at least this; a build of many quick steps would do little else.
const PAUSE: Duration = Duration::from_millis(100);

/// How many lines of a running step's output are shown.
const OUTPUT_LINES: usize = 6;

impl<W: Write> Terminal<W> {
    /// An empty list on `screen`.
    pub fn new(out: W, screen: Screen, palette: Palette) -> Terminal<W> {
        Terminal { out, screen, palette, steps: Vec::new(), total: 0, drawn: None }
    }

    /// Takes note that that many steps will appear which did not yet.
    pub fn expect(&mut self, steps: usize) {
        self.total = self.steps.len() + steps;
    }

    /// Takes note of `event`, and draws the list if that was not just done.
    pub fn show(&mut self, event: &Event<'_>) -> io::Result<()> {
        if let What::Started { name } = event.what {
            self.steps.push(Step::new(event.step, name, event.at));
        }
        if let Some(step) = self.steps.iter_mut().find(|step| step.number == event.step) {
            step.hear(event);
        }
        match &self.drawn {
            Some(drawn) if event.at.saturating_sub(drawn.at) < PAUSE => Ok(()),
            _ => self.draw(event.at),
        }
    }

    /// Draws the list as it is `now`, on a terminal that may have another size by now.
    pub fn tick(&mut self, now: Duration, screen: Option<Screen>) -> io::Result<()> {
        self.screen = screen.unwrap_or(self.screen);
        self.draw(now)
    }

    /// Draws the whole list for the last time; below it, what the steps that failed wrote.
    pub fn finish(&mut self, now: Duration, screen: Option<Screen>) -> io::Result<()> {
        self.screen = screen.unwrap_or(self.screen);
        let lines = self.all(now);
        self.replace(&lines, now)?;
        self.drawn = None;
        let mut failures = Failures::default();
        for step in self.steps.drain(..).filter(|step| matches!(step.end, Some((End::Failed, _)))) {
            failures.add(step.name, step.recent);
        }
        failures.write(&mut self.out)?;
        self.out.flush()
    }

    fn draw(&mut self, now: Duration) -> io::Result<()> {
        let lines = self.lines(now);
        self.replace(&lines, now)
    }

    /// Everything in one write, so that no half-drawn list is seen.
    fn replace(&mut self, lines: &[Line], now: Duration) -> io::Result<()> {
        // No cursor, and no line that goes on on the next one.
        let mut text = String::from("\x1b[?25l\x1b[?7l");
        if let Some(drawn) = &self.drawn {
            text.push_str(&format!("\x1b[{}A\r", drawn.height(self.columns())));
        }
        for line in lines {
            text.push_str(&line.styled());
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J\x1b[?7h\x1b[?25h");
        self.drawn = Some(Drawing { at: now, widths: lines.iter().map(|line| line.width()).collect() });
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// What fits on the screen.
    fn lines(&self, now: Duration) -> Vec<Line> {
        let running: Vec<&Step> = self.steps.iter().filter(|step| step.end.is_none()).collect();
        let wrote: Vec<usize> = running.iter().map(|step| step.tail.bytes).collect();
        let height = usize::from(self.screen.rows);
        let speakers: Vec<usize> = speakers(&wrote, height, running.len(), OUTPUT_LINES)
            .into_iter()
            .map(|index| running[index].number)
            .collect();
        let mut rows = Vec::new();
        for step in &self.steps {
            rows.extend(step.rows(now, self.columns(), &self.palette, speakers.contains(&step.number)));
        }
        let below: usize = rows.iter().map(|row| row.below.len()).sum();
        let room = height.saturating_sub(2 + below);
        let shown = fitting(rows, room).into_iter().flat_map(|row| [row.line].into_iter().chain(row.below));
        [self.header(now, "")].into_iter().chain(shown).collect()
    }

    /// The list at its end, whether it fits or not.
    fn all(&self, now: Duration) -> Vec<Line> {
        let is_finished = !self.steps.is_empty() && self.ended() == self.total();
        let rows = self.steps.iter().flat_map(|step| step.rows(now, self.columns(), &self.palette, false));
        let header = self.header(now, if is_finished { " FINISHED" } else { "" });
        [header].into_iter().chain(rows.map(|row| row.line)).collect()
    }

    fn header(&self, now: Duration, end: &str) -> Line {
        let (ended, total) = (self.ended(), self.total());
        let text = format!("[+] Building {:.1}s ({ended}/{total}){end}", now.as_secs_f64());
        Line::plain(ellipsis(&text, self.columns() - 1))
    }

    fn ended(&self) -> usize {
        self.steps.iter().filter(|step| step.end.is_some()).count()
    }

    fn total(&self) -> usize {
        self.total.max(self.steps.len())
    }

    /// On less than this nothing can be read.
    fn columns(&self) -> usize {
        usize::from(self.screen.columns).max(20)
    }
}

impl Drawing {
    /// How many lines it takes up on a terminal of `columns`, where long ones were broken if it became narrower.
    fn height(&self, columns: usize) -> usize {
        self.widths.iter().map(|width| width.div_ceil(columns).max(1)).sum()
    }
}

#[cfg(test)]
mod tests;
