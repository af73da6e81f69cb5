//! Progress as lines that can be logged: BuildKit's plain format.
//!
//! ```text
//! #5 [2/4] WORKDIR /app
//! #5 CACHED
//!
//! #6 [3/4] RUN pip install
//! #6 0.214 Collecting flask
//! #6 DONE 1.2s
//! ```
//!
//! One step at a time has the floor. Another one gets it when that step ends, when itself it ends, or when
//! the floor has been held for some seconds; `#6 ...` tells that a step will go on later.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use super::{Event, What, take_lines};

/// Writes each step's lines to `W`.
pub struct Plain<W> {
    out: W,
    steps: BTreeMap<usize, Step>,
    floor: Option<Floor>,
    wrote_before: bool,
}

struct Step {
    name: String,
    started: Duration,
    /// Lines that wait for the floor, without the step's number.
    waiting: Vec<String>,
    partial: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Floor {
    step: usize,
    since: Duration,
}

/// How long a step may speak while others wait.
const TURN: Duration = Duration::from_secs(5);

impl<W: Write> Plain<W> {
    pub fn new(out: W) -> Plain<W> {
        Plain { out, steps: BTreeMap::new(), floor: None, wrote_before: false }
    }

    /// Writes what `event` makes known, now or when the step has the floor.
    pub fn show(&mut self, event: &Event<'_>) -> io::Result<()> {
        let &Event { step: number, at, ref what } = event;
        if let What::Started { name } = what {
            let step =
                Step { name: (*name).to_owned(), started: at, waiting: Vec::new(), partial: Vec::new() };
            self.steps.insert(number, step);
        }
        let Some(step) = self.steps.get_mut(&number) else { return Ok(()) };
        step.hear(at, what);
        let may_speak = match self.floor {
            None => true,
            Some(floor) => floor.step == number || what.is_end() || at.saturating_sub(floor.since) >= TURN,
        };
        if may_speak {
            self.speak(number, at)?;
        }
        if what.is_end() {
            self.steps.remove(&number);
            self.floor = None;
            let next = self.steps.iter().find(|(_, step)| !step.waiting.is_empty()).map(|(n, _)| *n);
            if let Some(next) = next {
                self.speak(next, at)?;
            }
        }
        self.out.flush()
    }

    /// Writes what still waits.
    pub fn finish(&mut self) -> io::Result<()> {
        let waiting = self.steps.iter().filter(|(_, step)| !step.waiting.is_empty());
        for number in waiting.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.speak(number, Duration::MAX)?;
        }
        self.out.flush()
    }

    fn speak(&mut self, number: usize, at: Duration) -> io::Result<()> {
        let Some(step) = self.steps.get_mut(&number) else { return Ok(()) };
        if self.floor.is_none_or(|floor| floor.step != number) {
            if let Some(previous) = self.floor {
                writeln!(self.out, "#{} ...", previous.step)?;
            }
            if std::mem::replace(&mut self.wrote_before, true) {
                writeln!(self.out)?;
            }
            writeln!(self.out, "#{number} {}", step.name)?;
            self.floor = Some(Floor { step: number, since: at });
        }
        for line in step.waiting.drain(..) {
            writeln!(self.out, "#{number} {line}")?;
        }
        Ok(())
    }
}

impl Step {
    fn hear(&mut self, at: Duration, what: &What<'_>) {
        let seconds = at.saturating_sub(self.started).as_secs_f64();
        if what.is_end() && !self.partial.is_empty() {
            let rest = take_lines(&mut self.partial, b"\n");
            self.waiting.extend(rest.iter().map(|line| format!("{seconds:.3} {line}")));
        }
        match what {
            What::Started { .. } => {}
            What::Output(bytes) => {
                let lines = take_lines(&mut self.partial, bytes);
                self.waiting.extend(lines.iter().map(|line| format!("{seconds:.3} {line}")));
            }
            What::Cached => self.waiting.push("CACHED".to_owned()),
            What::Done => self.waiting.push(format!("DONE {seconds:.1}s")),
            What::Failed { message } => self.waiting.push(format!("ERROR: {message}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(events: &[(usize, u64, What<'_>)], expected: &str) {
        let mut text = Vec::new();
        let mut plain = Plain::new(&mut text);
        for (step, ms, what) in events {
            let event = Event { step: *step, at: Duration::from_millis(*ms), what: *what };
            plain.show(&event).unwrap();
        }
        plain.finish().unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    fn started(name: &str) -> What<'_> {
        What::Started { name }
    }

    #[test]
    fn steps_one_after_another_are_separated_by_a_blank_line() {
        check(
            &[
                (5, 0, started("[2/4] WORKDIR /app")),
                (5, 0, What::Cached),
                (6, 0, started("[3/4] RUN x")),
                (6, 214, What::Output(b"text of out")),
                (6, 220, What::Output(b"put\nmore\nunfinished")),
                (6, 300, What::Done),
                (7, 300, started("[4/4] RUN false")),
                (7, 400, What::Failed { message: "exit code: 1" }),
            ],
            "#5 [2/4] WORKDIR /app\n#5 CACHED\n\n\
             #6 [3/4] RUN x\n#6 0.220 text of output\n#6 0.220 more\n#6 0.300 unfinished\n#6 DONE 0.3s\n\n\
             #7 [4/4] RUN false\n#7 ERROR: exit code: 1\n",
        );
    }

    #[test]
    fn a_step_that_ends_interrupts_the_one_that_speaks() {
        check(
            &[
                (1, 0, started("a")),
                (2, 0, started("b")),
                (2, 100, What::Output(b"of b\n")),
                (1, 100, What::Output(b"of a\n")),
                (2, 200, What::Done),
                (1, 300, What::Output(b"again a\n")),
                (1, 300, What::Done),
            ],
            "#1 a\n#1 0.100 of a\n#1 ...\n\n#2 b\n#2 0.100 of b\n#2 DONE 0.2s\n\n\
             #1 a\n#1 0.300 again a\n#1 DONE 0.3s\n",
        );
    }

    #[test]
    fn what_waited_is_told_when_the_floor_is_free_or_held_too_long() {
        check(
            &[
                (1, 0, started("a")),
                (2, 0, started("b")),
                (2, 100, What::Output(b"waits\n")),
                (1, 200, What::Done),
                (3, 300, started("c")),
                (3, 5300, What::Output(b"its turn\n")),
                (2, 5400, What::Done),
            ],
            "#1 a\n#1 DONE 0.2s\n\n#2 b\n#2 0.100 waits\n#2 ...\n\n#3 c\n#3 5.000 its turn\n#3 ...\n\n\
             #2 b\n#2 DONE 5.4s\n",
        );
    }
}
