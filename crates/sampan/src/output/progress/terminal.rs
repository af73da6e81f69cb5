//! Progress as a live list on a terminal, redrawn in place.
//!
//! ```text
//! [+] Building 1.2s (3/4)
//!  => CACHED [2/4] WORKDIR /app                       0.0s
//!  => [3/4] RUN pip install                           1.1s
//!  => => # Collecting flask
//! ```

use std::{
    collections::VecDeque,
    io::{self, Write},
    time::Duration,
};

use anstyle::{AnsiColor, Style};

use super::{Event, Screen, What, take_lines};
use crate::output::human::{display_width, ellipsis};

/// Draws the list on `W`.
pub struct Terminal<W> {
    out: W,
    columns: usize,
    rows: usize,
    colour: bool,
    steps: Vec<Step>,
    /// Whether no further steps are to come.
    is_over: bool,
    /// How many lines the last drawing left above the cursor.
    drawn: usize,
}

struct Step {
    number: usize,
    name: String,
    started: Duration,
    end: Option<(End, Duration)>,
    output: VecDeque<String>,
    partial: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Cached,
    Done,
    Failed,
}

/// How many lines of a running step's output are shown.
const OUTPUT_LINES: usize = 6;

impl<W: Write> Terminal<W> {
    /// An empty list on `screen`.
    pub fn new(out: W, screen: Screen) -> Terminal<W> {
        let Screen { columns, rows, colour } = screen;
        let (columns, rows) = (columns.max(20).into(), rows.max(5).into());
        Terminal { out, columns, rows, colour, steps: Vec::new(), is_over: false, drawn: 0 }
    }

    /// Takes note of `event` and draws the list where a step begins or ends.
    pub fn show(&mut self, event: &Event<'_>) -> io::Result<()> {
        if let What::Started { name } = event.what {
            self.steps.push(Step::new(event.step, name, event.at));
        }
        if let Some(step) = self.steps.iter_mut().find(|step| step.number == event.step) {
            step.hear(event);
        }
        match event.what {
            What::Output(_) => Ok(()),
            _ => self.draw(event.at),
        }
    }

    /// Draws the list as it is `now`.
    pub fn draw(&mut self, now: Duration) -> io::Result<()> {
        let lines = self.lines(now);
        let skip = lines.len().saturating_sub(self.rows - 1).min(lines.len() - 1);
        let shown: Vec<&String> = lines.iter().take(1).chain(&lines[1 + skip..]).collect();
        self.replace(&shown)
    }

    /// Draws the whole list for the last time.
    pub fn finish(&mut self, now: Duration) -> io::Result<()> {
        self.is_over = true;
        let lines = self.lines(now);
        self.replace(&lines.iter().collect::<Vec<_>>())?;
        self.drawn = 0;
        Ok(())
    }

    /// Everything in one write, so that no half-drawn list is seen.
    fn replace(&mut self, lines: &[&String]) -> io::Result<()> {
        let mut text = String::from("\x1b[?25l");
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\r", self.drawn));
        }
        for line in lines {
            text.push_str(line);
            text.push_str("\x1b[K\n");
        }
        text.push_str("\x1b[J\x1b[?25h");
        self.drawn = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn lines(&self, now: Duration) -> Vec<String> {
        let ended = self.steps.iter().filter(|step| step.end.is_some()).count();
        let all = self.steps.len();
        let finished = if self.is_over && ended == all { " FINISHED" } else { "" };
        let mut lines = vec![format!("[+] Building {:.1}s ({ended}/{all}){finished}", now.as_secs_f64())];
        for step in &self.steps {
            step.draw(now, self.columns, self.colour, &mut lines);
        }
        lines
    }
}

impl Step {
    fn new(number: usize, name: &str, started: Duration) -> Step {
        Step {
            number,
            name: name.to_owned(),
            started,
            end: None,
            output: VecDeque::new(),
            partial: Vec::new(),
        }
    }

    fn hear(&mut self, event: &Event<'_>) {
        let end = match event.what {
            What::Started { .. } => return,
            What::Output(bytes) => {
                let lines = take_lines(&mut self.partial, bytes);
                self.output.extend(lines.iter().map(|line| last_overwritten(line).to_owned()));
                self.output.drain(..self.output.len().saturating_sub(OUTPUT_LINES));
                return;
            }
            What::Cached => End::Cached,
            What::Done => End::Done,
            What::Failed { .. } => End::Failed,
        };
        self.end = Some((end, event.at));
    }

    fn draw(&self, now: Duration, columns: usize, colour: bool, lines: &mut Vec<String>) {
        let until = self.end.map_or(now, |(_, at)| at);
        let time = format!("{:.1}s", until.saturating_sub(self.started).as_secs_f64());
        let (prefix, style) = match self.end {
            None => ("", Style::new()),
            Some((End::Cached, _)) => ("CACHED ", AnsiColor::Blue.on_default()),
            Some((End::Done, _)) => ("", AnsiColor::Blue.on_default()),
            Some((End::Failed, _)) => ("ERROR ", AnsiColor::Red.on_default()),
        };
        let style = if colour { style } else { Style::new() };
        let room = columns - time.len() - 2;
        let name = ellipsis(&printable(&format!(" => {prefix}{}", self.name)), room);
        let gap = " ".repeat(room + 1 - display_width(&name));
        lines.push(format!("{style}{name}{gap}{time}{style:#}"));
        if self.end.is_some() {
            return;
        }
        let details = self.output.iter().map(|line| format!(" => => # {line}"));
        lines.extend(details.map(|line| ellipsis(&printable(&line), columns - 1)));
    }
}

/// What is to be seen of a line that was written over itself, as download bars are.
fn last_overwritten(line: &str) -> &str {
    line.rsplit('\r').next().unwrap_or(line)
}

/// A program's output must not move the cursor in the list.
fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: Screen = Screen { columns: 40, rows: 24, colour: true };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn screen(events: Vec<(usize, u64, What<'_>)>, now: u64) -> String {
        let mut terminal = Terminal::new(Vec::new(), SCREEN);
        for (step, at, what) in events {
            terminal.show(&Event { step, at: ms(at), what }).unwrap();
        }
        terminal.lines(ms(now)).join("\n")
    }

    #[test]
    fn running_steps_show_their_output_and_time() {
        let events = vec![
            (1, 0, What::Started { name: "[2/3] WORKDIR /app" }),
            (1, 0, What::Cached),
            (2, 100, What::Started { name: "[3/3] RUN a-command-that-is-far-too-long" }),
            (2, 200, What::Output(b" 10%\r 99%\rCollecting\x1b[2J flask\r\n")),
        ];
        assert_eq!(
            screen(events, 1300),
            "[+] Building 1.3s (1/2)\n\
             \x1b[34m => CACHED [2/3] WORKDIR /app      0.0s\x1b[0m\n \
             => [3/3] RUN a-command-that-is-f… 1.2s\n \
             => => # Collecting [2J flask"
        );
    }

    #[test]
    fn output_is_shown_only_while_a_step_runs() {
        let events = vec![
            (1, 0, What::Started { name: "a" }),
            (1, 0, What::Output(b"gone\n")),
            (1, 1000, What::Done),
            (2, 0, What::Started { name: "b" }),
            (2, 0, What::Output(b"gone as well\n")),
            (2, 2000, What::Failed { message: "exit code: 1" }),
        ];
        let screen = screen(events, 2000);
        assert!(screen.starts_with("[+] Building 2.0s (2/2)\n"), "{screen}");
        assert!(screen.contains("ERROR b") && !screen.contains("gone"), "{screen}");
    }

    #[test]
    fn a_redraw_goes_back_over_what_it_drew() {
        let mut terminal = Terminal::new(Vec::new(), SCREEN);
        let started = |step| Event { step, at: ms(0), what: What::Started { name: "x" } };
        terminal.show(&started(1)).unwrap();
        terminal.show(&started(2)).unwrap();
        terminal.draw(ms(0)).unwrap();
        let text = String::from_utf8(terminal.out).unwrap();
        assert!(text.starts_with("\x1b[?25l[+]"), "{text:?}");
        assert!(text.contains("\x1b[?25l\x1b[2A\r[+]") && text.contains("\x1b[?25l\x1b[3A\r[+]"), "{text:?}");
    }

    #[test]
    fn a_build_is_finished_when_no_step_is_to_come() {
        let mut terminal = Terminal::new(Vec::new(), SCREEN);
        for what in [What::Started { name: "x" }, What::Done] {
            terminal.show(&Event { step: 1, at: ms(0), what }).unwrap();
        }
        assert_eq!(terminal.lines(ms(0))[0], "[+] Building 0.0s (1/1)");
        terminal.finish(ms(0)).unwrap();
        assert_eq!(terminal.lines(ms(0))[0], "[+] Building 0.0s (1/1) FINISHED");
    }

    #[test]
    fn a_list_longer_than_the_terminal_loses_its_oldest_lines() {
        let mut terminal = Terminal::new(Vec::new(), Screen { rows: 5, ..SCREEN });
        for step in 1..=9 {
            let name = format!("step {step}");
            terminal.show(&Event { step, at: ms(0), what: What::Started { name: &name } }).unwrap();
        }
        let text = String::from_utf8(terminal.out).unwrap();
        let last = text.rsplit("\x1b[?25l").next().unwrap();
        assert_eq!(last.matches('\n').count(), 4, "{last:?}");
        assert!(last.contains("step 9") && last.contains("step 7") && !last.contains("step 6"), "{last:?}");
    }
}
