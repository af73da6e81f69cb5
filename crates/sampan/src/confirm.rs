//! Asking before something is removed for good.

use std::io::{self, BufRead, Write};

/// Asks on standard output whether to go on, after saying what would happen. Anything but `y` is a no, and so is an end of
/// input.
pub fn confirm(warning: &str) -> io::Result<bool> {
    ask(&format!("{warning}\nAre you sure you want to continue?"))
}

/// Asks a question on standard output, with the same answers.
pub fn ask(question: &str) -> io::Result<bool> {
    let mut output = io::stdout().lock();
    write!(output, "{question} [y/N] ")?;
    output.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}
