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
//! One step at a time has the floor. Another one gets it when that step ends, when itself it ends, or when it has had
//! less than its fair share for some seconds; `#6 ...` tells that a step will go on later.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use super::{
    Event, What,
    failures::{Failures, Recent},
    log::Log,
};

/// Writes each step's lines to `W`.
pub struct Plain<W> {
    out: W,
    /// Those that have not ended.
    steps: BTreeMap<usize, Step>,
    failures: Failures,
    /// Who speaks.
    floor: Option<usize>,
    wrote_before: bool,
}

struct Step {
    name: String,
    began: Duration,
    /// Whether its name was told.
    is_known: bool,
    /// Lines that wait for the floor, without the step's number.
    waiting: Vec<String>,
    log: Log,
    recent: Recent,
    /// How often it had something to say, and since when; counted anew when another gets the floor.
    wishes: u32,
    wishes_since: Duration,
}

/// The fair share of the floor is counted in turns of this.
const TURN: Duration = Duration::from_secs(5);

/// Whoever waited so long gets the floor.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How many lines of a step's output are told again when it failed.
const TOLD_AGAIN: usize = 10;

impl<W: Write> Plain<W> {
    pub fn new(out: W) -> Plain<W> {
        Plain { out, steps: BTreeMap::new(), failures: Failures::default(), floor: None, wrote_before: false }
    }

    /// Writes what `event` makes known, now or when the step has the floor.
    pub fn show(&mut self, event: &Event<'_>) -> io::Result<()> {
        let &Event { step: number, at, ref what } = event;
        if let What::Started { name } = what {
            self.steps.insert(number, Step::new(name, at));
        }
        let Some(step) = self.steps.get_mut(&number) else { return Ok(()) };
        step.hear(at, what);
        if what.is_end() {
            self.speak(number)?;
            self.floor = None;
            let ended = self.steps.remove(&number);
            if let (Some(step), What::Failed { .. }) = (ended, what) {
                self.failures.add(step.name, step.recent);
            }
        } else if self.floor == Some(number) {
            self.speak(number)?;
        }
        self.tick(at)
    }

    /// Lets another step speak if it is its turn.
    pub fn tick(&mut self, now: Duration) -> io::Result<()> {
        if let Some(next) = self.next(now) {
            self.speak(next)?;
        }
        self.out.flush()
    }

    /// Writes what still waits, and what the steps that failed had to say.
    pub fn finish(&mut self) -> io::Result<()> {
        let waiting = self.steps.iter().filter(|(_, step)| !step.waiting.is_empty());
        for number in waiting.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.speak(number)?;
        }
        self.failures.write(&mut self.out)?;
        self.out.flush()
    }

    /// Who is to speak although another one might go on, as BuildKit has it: whoever waited too long, or wants to say
    /// most, once the speaker used up its share.
    fn next(&self, now: Duration) -> Option<usize> {
        let waiting = || self.steps.iter().filter(|(_, step)| !step.waiting.is_empty() || !step.is_known);
        let waits = || waiting().filter(|(number, _)| Some(**number) != self.floor);
        let most = waits().max_by(|(_, a), (_, b)| a.pressure(now).total_cmp(&b.pressure(now)));
        let (most, _) = most?;
        let Some(speaker) = self.floor.and_then(|number| self.steps.get(&number)) else {
            return Some(*most);
        };
        if let Some((number, _)) = waits().find(|(_, step)| step.waited(now) > LONGEST_WAIT) {
            return Some(*number);
        }
        let all: f64 = waits().map(|(_, step)| step.pressure(now)).sum::<f64>() + speaker.pressure(now);
        let others = 1.0 - speaker.pressure(now) / all;
        (TURN.as_secs_f64() / others < speaker.waited(now).as_secs_f64()).then_some(*most)
    }

    fn speak(&mut self, number: usize) -> io::Result<()> {
        if self.floor != Some(number) {
            if let Some(previous) = self.floor {
                writeln!(self.out, "#{previous} ...")?;
                if let Some(step) = self.steps.get_mut(&previous) {
                    step.wishes = 0;
                }
            }
            self.floor = Some(number);
            if std::mem::replace(&mut self.wrote_before, true) {
                writeln!(self.out)?;
            }
            if let Some(step) = self.steps.get_mut(&number) {
                step.is_known = true;
                writeln!(self.out, "#{number} {}", step.name)?;
            }
        }
        let waiting = self.steps.get_mut(&number).map(|step| std::mem::take(&mut step.waiting));
        for line in waiting.into_iter().flatten() {
            writeln!(self.out, "#{number} {line}")?;
        }
        Ok(())
    }
}

impl Step {
    fn new(name: &str, began: Duration) -> Step {
        Step {
            name: name.to_owned(),
            began,
            is_known: false,
            waiting: Vec::new(),
            log: Log::default(),
            recent: Recent::default(),
            wishes: 0,
            wishes_since: began,
        }
    }

    fn hear(&mut self, at: Duration, what: &What<'_>) {
        if self.wishes == 0 {
            self.wishes_since = at;
        }
        self.wishes += 1;
        let since = at.saturating_sub(self.began);
        let lines = match what {
            What::Output { bytes, .. } => self.log.hear(since, bytes),
            what if what.is_end() => self.log.end().into_iter().collect(),
            _ => Vec::new(),
        };
        for line in lines {
            self.recent.keep(line.clone(), TOLD_AGAIN);
            self.waiting.push(line);
        }
        match what {
            What::Started { .. } | What::Output { .. } => {}
            What::Part(part) => self.waiting.push(format!("{part} done")),
            What::Remark(text) => self.waiting.push((*text).to_owned()),
            What::Cached => self.waiting.push("CACHED".to_owned()),
            What::Done => self.waiting.push(format!("DONE {:.1}s", since.as_secs_f64())),
            What::Failed { message } => self.waiting.push(format!("ERROR: {message}")),
            What::Canceled => self.waiting.push("CANCELED".to_owned()),
        }
    }

    fn waited(&self, now: Duration) -> Duration {
        now.saturating_sub(self.wishes_since)
    }

    /// How often a second it has something to say.
    fn pressure(&self, now: Duration) -> f64 {
        f64::from(self.wishes) / self.waited(now).as_secs_f64().max(0.001)
    }
}

#[cfg(test)]
mod tests;
