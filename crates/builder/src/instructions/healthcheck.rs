//! HEALTHCHECK: how to tell whether a container is well.

use image::config::Healthcheck;

use super::{Instruction, some_arguments};
use crate::{
    diagnostic::Problem,
    history,
    parse::{
        Directives, Flags, Statement, Word,
        words::{self, Command},
    },
    plan::{PlanError, Planner},
};

struct Check(Healthcheck);

pub fn read(statement: &Statement, _: &Directives) -> Result<Box<dyn Instruction>, Problem> {
    let known = ["interval", "timeout", "start-period", "start-interval", "retries"];
    let flags = Flags::checked(&statement.flags, &known)?;
    let text = some_arguments(statement)?;
    let end = text.as_str().find(char::is_whitespace).unwrap_or(text.as_str().len());
    let kind = text.word(0..end);
    let rest = text.slice(end..text.as_str().len()).trim();
    let test = match kind.text.to_uppercase().as_str() {
        "NONE" if rest.is_empty() => vec!["NONE".to_owned()],
        "NONE" => return Err(Problem::new("HEALTHCHECK NONE takes no arguments", rest.whole())),
        "CMD" if rest.is_empty() => {
            return Err(Problem::new("Missing command after HEALTHCHECK CMD", kind.span));
        }
        "CMD" => match words::command(&rest)? {
            Command::Exec(words) if words.is_empty() => {
                return Err(Problem::new("Missing command after HEALTHCHECK CMD", kind.span));
            }
            Command::Exec(words) => [vec!["CMD".to_owned()], words].concat(),
            Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text],
        },
        other => {
            let message = format!("Unknown type {} in HEALTHCHECK (try CMD)", history::quoted(other));
            return Err(Problem::new(message, kind.span));
        }
    };
    let duration = |name: &str| match flags.value(name)? {
        Some(word) if !word.text.is_empty() => nanoseconds(&word, name),
        Some(_) | None => Ok(0),
    };
    let retries = match flags.value("retries")? {
        Some(word) if !word.text.is_empty() => number_of_retries(&word)?,
        Some(_) | None => 0,
    };
    Ok(Box::new(Check(Healthcheck {
        test,
        interval: duration("interval")?,
        timeout: duration("timeout")?,
        start_period: duration("start-period")?,
        start_interval: duration("start-interval")?,
        retries,
    })))
}

impl Instruction for Check {
    fn plan(&self, at: &Statement, planner: &mut Planner<'_>) -> Result<(), PlanError> {
        let check = &self.0;
        planner.config(&at.span)?.healthcheck = Some(check.clone());
        let durations = [check.interval, check.timeout, check.start_period, check.start_interval];
        let durations: Vec<String> = durations.iter().map(|d| history::quoted(&go_duration(*d))).collect();
        let retries = match u8::try_from(check.retries).map(char::from) {
            Ok(printable @ ' '..='~') => format!("'{printable}'"),
            _ => format!("'\\x{:02x}'", check.retries),
        };
        let created_by = format!(
            "HEALTHCHECK &{{{} {} {retries}}}",
            history::quoted_list(&check.test),
            durations.join(" ")
        );
        Ok(planner.configured(at, created_by)?)
    }
}

/// Go's durations: numbers with units, `1m30s` or `1.5s`. At least a millisecond, or nothing.
fn nanoseconds(word: &Word, flag: &str) -> Result<i64, Problem> {
    let wrong = |what: &str| {
        Problem::new(format!("time: {what} duration {:?}", word.text), word.span.clone())
            .helped("write a number with a unit: 500ms, 30s, 1m30s")
    };
    let (sign, mut rest) = match word.text.strip_prefix(['-', '+']) {
        Some(rest) if word.text.starts_with('-') => (-1.0, rest),
        Some(rest) => (1.0, rest),
        None => (1.0, word.text.as_str()),
    };
    if rest.is_empty() {
        return Err(wrong("invalid"));
    }
    let mut total = 0.0;
    while !rest.is_empty() && rest != "0" {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| wrong("invalid"))?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        if end == 0 {
            return Err(wrong("missing unit in"));
        }
        let unit = &rest[..end];
        let Some((_, scale)) = UNITS.iter().find(|(known, _)| *known == unit) else {
            return Err(wrong(&format!("unknown unit {unit:?} in")));
        };
        rest = &rest[end..];
        total += number * scale;
    }
    match sign * total {
        0.0 => Ok(0),
        total if total < 1e6 => {
            let message = format!("Interval {flag:?} cannot be less than 1ms");
            Err(Problem::new(message, word.span.clone()))
        }
        total => Ok(total as i64),
    }
}

const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];

/// A 32-bit number, not below zero.
fn number_of_retries(word: &Word) -> Result<i64, Problem> {
    let refuse = |message: String| Err(Problem::new(message, word.span.clone()));
    let digits = word.text.strip_prefix(['-', '+']).unwrap_or(&word.text);
    match word.text.parse::<i32>() {
        Ok(number) if number < 0 => refuse(format!("--retries cannot be negative ({number})")),
        Ok(number) => Ok(number.into()),
        Err(_) if !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) => {
            refuse(format!("strconv.ParseInt: parsing {:?}: value out of range", word.text))
        }
        Err(_) => refuse(format!("strconv.ParseInt: parsing {:?}: invalid syntax", word.text)),
    }
}

/// Prints nanoseconds as Go prints a duration.
fn go_duration(nanoseconds: i64) -> String {
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    if nanoseconds < 1_000_000_000 {
        return format!("{}ms", nanoseconds as f64 / 1e6);
    }
    let seconds = nanoseconds / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = (nanoseconds % 60_000_000_000) as f64 / 1e9;
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use crate::instructions::testing::*;

    #[test]
    fn a_check_is_a_command_with_a_rhythm() {
        check_history(
            "HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD curl -f x || exit 1",
            r#"HEALTHCHECK &{["CMD-SHELL" "curl -f x || exit 1"] "1m30s" "500ms" "0s" "0s" '\x03'}"#,
        );
        check_history("HEALTHCHECK CMD [\"a\"]", r#"HEALTHCHECK &{["CMD" "a"] "0s" "0s" "0s" "0s" '\x00'}"#);
        check_history("HEALTHCHECK none", r#"HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" '\x00'}"#);
    }

    #[test]
    fn what_is_no_check_is_refused() {
        check_problem("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD");
        check_problem("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments");
        check_problem("HEALTHCHECK curl", "Unknown type \"CURL\" in HEALTHCHECK (try CMD)");
        check_problem("HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD");
        check_problem("HEALTHCHECK --interval=1 CMD x", "time: missing unit in duration \"1\"");
        check_problem("HEALTHCHECK --interval=1x CMD x", "time: unknown unit \"x\" in duration \"1x\"");
        check_problem("HEALTHCHECK --interval=. CMD x", "time: invalid duration \".\"");
        check_problem("HEALTHCHECK --interval=1us CMD x", "Interval \"interval\" cannot be less than 1ms");
        check_problem("HEALTHCHECK --timeout=-1s CMD x", "Interval \"timeout\" cannot be less than 1ms");
        check_problem("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)");
        check_problem("HEALTHCHECK --retries=x CMD x", "strconv.ParseInt: parsing \"x\": invalid syntax");
        check_problem(
            "HEALTHCHECK --retries=99999999999 CMD x",
            "strconv.ParseInt: parsing \"99999999999\": value out of range",
        );
    }

    #[test]
    fn empty_flags_and_none_are_defaults() {
        let none = r#"HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" '\x00'}"#;
        check_history("HEALTHCHECK NONE", none);
        check_history(
            "HEALTHCHECK --interval= --retries= cmd x",
            r#"HEALTHCHECK &{["CMD-SHELL" "x"] "0s" "0s" "0s" "0s" '\x00'}"#,
        );
    }
}
