//! How a command ended, and what it said.

use std::fmt;

/// A command that has ended. Expectations that are not met panic with everything known about it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The command line, and where its sandbox is.
    pub command: String,
    pub place: String,
    /// As a shell has it: 128 and the signal's number for one that was killed.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Expects success.
    #[track_caller]
    pub fn ok(self) -> Outcome {
        self.fails(0)
    }

    /// Expects this exit code.
    #[track_caller]
    pub fn fails(self, code: i32) -> Outcome {
        assert!(self.code == code, "expected exit code {code}\n{self}");
        self
    }

    /// Expects exactly this on standard output.
    #[track_caller]
    pub fn prints(self, expected: &str) -> Outcome {
        assert!(self.stdout == expected, "expected on stdout: {expected:?}\n{self}");
        self
    }

    /// Expects this somewhere on standard output.
    #[track_caller]
    pub fn says(self, part: &str) -> Outcome {
        assert!(self.stdout.contains(part), "expected on stdout: {part:?}\n{self}");
        self
    }

    /// Expects this somewhere on standard error.
    #[track_caller]
    pub fn complains(self, part: &str) -> Outcome {
        assert!(self.stderr.contains(part), "expected on stderr: {part:?}\n{self}");
        self
    }

    /// Standard output without the white space around it: a name, an id, one value.
    pub fn word(&self) -> &str {
        self.stdout.trim()
    }

    /// The lines of standard output.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        writeln!(f, "exit code {}", self.code)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let prefix = format!("\n  {name} | ");
            if !text.is_empty() {
                writeln!(f, "{}{}", &prefix[1..], text.trim_end_matches('\n').replace('\n', &prefix))?;
            }
        }
        write!(f, "sandbox {}", self.place)
    }
}
