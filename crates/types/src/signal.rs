//! Signals by name and number, as kill(1) and docker take them.

use std::{fmt, str::FromStr};

/// A signal's number, 1 to 64. See signal(7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signal(u8);

/// Neither a signal's name nor its number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {0}")]
pub struct InvalidSignal(String);

impl Signal {
    pub const HUP: Signal = Signal(1);
    pub const INT: Signal = Signal(2);
    pub const KILL: Signal = Signal(9);
    pub const TERM: Signal = Signal(15);

    /// The number the kernel knows it by.
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }
}

impl FromStr for Signal {
    type Err = InvalidSignal;

    fn from_str(text: &str) -> Result<Signal, InvalidSignal> {
        let invalid = || InvalidSignal(text.to_owned());
        if let Ok(number) = text.parse::<u8>() {
            return if (1..=64).contains(&number) { Ok(Signal(number)) } else { Err(invalid()) };
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(position) = NAMES.iter().position(|n| *n == name) {
            return Ok(Signal(position as u8 + 1));
        }
        let offset = |from: &str| name.strip_prefix(from).and_then(|rest| rest.parse::<u8>().ok());
        match (name, offset("RTMIN+"), offset("RTMAX-")) {
            ("IOT", ..) => Ok(Signal(6)),
            ("CLD", ..) => Ok(Signal(17)),
            ("POLL", ..) => Ok(Signal(29)),
            ("RTMIN", ..) => Ok(Signal(RTMIN)),
            ("RTMAX", ..) => Ok(Signal(RTMAX)),
            (_, Some(up @ 0..=30), _) => Ok(Signal(RTMIN + up)),
            (_, _, Some(down @ 0..=30)) => Ok(Signal(RTMAX - down)),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Signal {
    /// The name where it has one (`SIGTERM`), else its place in the real-time range.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0) - 1) {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "SIGRTMIN+{}", self.0.saturating_sub(RTMIN)),
        }
    }
}

/// The real-time signals a program may use; the C library keeps 32 and 33 for its threads.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

/// Signals 1 to 31, in order; the numbers of x86, ARM and RISC-V.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_mean_the_same_signal() {
        for (text, number) in [
            ("TERM", 15),
            ("sigkill", 9),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("POLL", 29),
            ("64", 64),
        ] {
            assert_eq!(text.parse::<Signal>().map(Signal::number), Ok(number), "{text}");
        }
        for wrong in ["", "0", "65", "SIGNOPE", "RTMIN+31", "-9"] {
            assert!(wrong.parse::<Signal>().is_err(), "{wrong}");
        }
        assert_eq!(Signal::TERM.to_string(), "SIGTERM");
    }
}
