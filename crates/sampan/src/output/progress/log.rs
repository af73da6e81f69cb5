//! A step's output as lines, each with the time at which it began.

use std::time::Duration;

/// Divides output into lines.
#[derive(Debug, Default)]
pub struct Log {
    /// A line that has no end yet, and when it began.
    open: Option<(Duration, Vec<u8>)>,
}

impl Log {
    /// The lines that are complete with `bytes`, written `since` the step began: `0.214 Collecting flask`.
    pub fn hear(&mut self, since: Duration, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (_, line) = self.open.get_or_insert_with(|| (since, Vec::new()));
            line.extend_from_slice(part);
            if part.ends_with(b"\n") || line.len() > LONGEST_LINE {
                lines.extend(self.end());
            }
        }
        lines
    }

    /// The line that has no end yet, as if it had one.
    pub fn end(&mut self) -> Option<String> {
        let (since, line) = self.open.take()?;
        let text = String::from_utf8_lossy(&line);
        Some(format!("{} {}", seconds(since), text.trim_end_matches(['\n', '\r'])))
    }
}

/// Three digits of the seconds' fraction, fewer of more seconds.
fn seconds(since: Duration) -> String {
    match since.as_secs() {
        0..10 => format!("{:.3}", since.as_secs_f64()),
        10..100 => format!("{:.2}", since.as_secs_f64()),
        _ => format!("{:.1}", since.as_secs_f64()),
    }
}

/// A program that never ends its line is not to fill the memory; in bytes.
const LONGEST_LINE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_time_at_which_it_began() {
        let mut log = Log::default();
        let at = Duration::from_millis;
        assert_eq!(log.hear(at(100), b"one\r\ntw"), ["0.100 one"]);
        assert_eq!(log.hear(at(200), b"o\n\nthree"), ["0.100 two", "0.200 "]);
        assert_eq!(log.end().as_deref(), Some("0.200 three"));
        assert_eq!(log.end(), None);
    }

    #[test]
    fn long_times_have_fewer_digits() {
        for (ms, expected) in [(9_999, "9.999"), (12_345, "12.35"), (123_456, "123.5")] {
            assert_eq!(seconds(Duration::from_millis(ms)), expected);
        }
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let lines = Log::default().hear(Duration::ZERO, &vec![b'x'; LONGEST_LINE + 1]);
        assert_eq!(lines.len(), 1);
    }
}
