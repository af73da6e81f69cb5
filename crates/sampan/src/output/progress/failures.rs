//! What the steps that failed had to say, told again when all is over.

use std::{
    collections::VecDeque,
    io::{self, Write},
};

/// The last lines of a step's output.
#[derive(Debug, Default)]
pub struct Recent {
    lines: VecDeque<String>,
}

impl Recent {
    /// Keeps `line` and the `most - 1` before it.
    pub fn keep(&mut self, line: String, most: usize) {
        self.lines.push_back(line);
        self.lines.drain(..self.lines.len().saturating_sub(most));
    }
}

/// Steps that failed, by name, with what they wrote last.
#[derive(Debug, Default)]
pub struct Failures(Vec<(String, Recent)>);

impl Failures {
    pub fn add(&mut self, name: String, recent: Recent) {
        self.0.push((name, recent));
    }

    /// A block for each:
    ///
    /// ```text
    /// ------
    ///  > [2/4] RUN make:
    /// 0.311 make: *** No targets.  Stop.
    /// ------
    /// ```
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for (name, recent) in &self.0 {
            writeln!(out, "------\n > {name}:")?;
            for line in &recent.lines {
                writeln!(out, "{line}")?;
            }
            writeln!(out, "------")?;
        }
        Ok(())
    }
}
