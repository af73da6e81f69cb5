//! What the program says about itself: mistakes in a command line, in docker's words, and help.
//!
//! Knows clap's descriptions and errors. Runs nothing.

mod help;

use std::{
    error::Error as _,
    ffi::OsString,
    num::{IntErrorKind, ParseIntError},
    process::ExitCode,
};

use clap::{
    Arg,
    error::{ContextKind, ContextValue, ErrorKind},
};

pub use help::{noun, program};

/// Text to print instead of running a command.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub text: String,
    pub stream: Stream,
    pub code: u8,
}

/// Where a page goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Page {
    /// What was asked for.
    pub fn answer(text: String) -> Page {
        Page { text, stream: Stream::Stdout, code: 0 }
    }

    fn mistake(code: u8, text: String) -> Page {
        Page { text, stream: Stream::Stderr, code }
    }

    /// The same on stderr.
    pub fn on_stderr(self) -> Page {
        Page { stream: Stream::Stderr, ..self }
    }

    /// Prints it and gives the program's exit code.
    pub fn show(&self) -> ExitCode {
        match self.stream {
            Stream::Stdout => print!("{}", self.text),
            Stream::Stderr => eprint!("{}", self.text),
        }
        ExitCode::from(self.code)
    }
}

/// A flag could not be used. Docker exits with the same code as for a container that did not start.
const BAD_FLAG: u8 = 125;

/// A command whose arguments were read.
pub struct Context<'a> {
    /// Program and command as they were spelled: `docker container ls`.
    pub path: &'a str,
    /// What follows the path in the usage line.
    pub usage: &'a str,
    pub command: &'a clap::Command,
}

impl Context<'_> {
    /// Says what is wrong with `arguments`, which clap refused with `error`.
    pub fn explain(&self, error: &clap::Error, arguments: &[OsString]) -> Page {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.as_str(),
            _ => "",
        };
        let argument = text(ContextKind::InvalidArg);
        let value = text(ContextKind::InvalidValue);
        let option = self.command.get_arguments().find(|arg| arg.to_string() == argument);
        match (error.kind(), option) {
            (ErrorKind::UnknownArgument, _) if argument.len() > 1 && argument.starts_with('-') => {
                self.bad_flag(&unknown_flag(argument, arguments))
            }
            (ErrorKind::InvalidValue, Some(_)) if value.is_empty() => {
                self.bad_flag(&flag_without_value(arguments))
            }
            (ErrorKind::ValueValidation | ErrorKind::InvalidValue, Some(option)) => {
                let reason = match error.source() {
                    Some(source) => reason(source, value, option),
                    None => "invalid value".to_owned(),
                };
                if option.is_positional() {
                    return Page::mistake(1, format!("{reason}\n"));
                }
                let flag = match (option.get_short(), option.get_long()) {
                    (Some(short), Some(long)) => format!("-{short}, --{long}"),
                    (Some(short), None) => format!("-{short}"),
                    (None, long) => format!("--{}", long.unwrap_or_default()),
                };
                self.bad_flag(&format!("invalid argument {value:?} for {flag:?} flag: {reason}"))
            }
            (
                ErrorKind::UnknownArgument
                | ErrorKind::MissingRequiredArgument
                | ErrorKind::TooFewValues
                | ErrorKind::TooManyValues
                | ErrorKind::WrongNumberOfValues,
                _,
            ) => self.wrong_number_of_arguments(),
            (ErrorKind::InvalidUtf8, _) => {
                Page::mistake(1, format!("{}: an argument is not valid UTF-8\n", self.path))
            }
            _ => Page::mistake(1, format!("{}: {}\n", self.path, error.kind())),
        }
    }

    fn bad_flag(&self, message: &str) -> Page {
        Page::mistake(
            BAD_FLAG,
            format!(
                "{message}\n\nUsage:  {}\n\nRun '{} --help' for more information\n",
                self.usage_lines(),
                self.path
            ),
        )
    }

    /// That there are too few or too many, where it takes this many at least.
    fn wrong_number_of_arguments(&self) -> Page {
        let (least, most) = self.positionals();
        // A flag may do without the one that the usage begins with.
        let least = least.max(usize::from(self.usage.starts_with(char::is_uppercase)));
        let arguments = |count: usize| format!("{count} argument{}", if count == 1 { "" } else { "s" });
        let (verb, expected) = match (least, most) {
            (0, Some(0)) => ("Run", "accepts no arguments".to_owned()),
            (least, Some(most)) if least == most => ("Run", format!("requires {}", arguments(least))),
            (least, None) => ("See", format!("requires at least {}", arguments(least))),
            (0, Some(most)) => ("Run", format!("requires at most {}", arguments(most))),
            (least, Some(most)) => {
                ("Run", format!("requires at least {least} and at most {}", arguments(most)))
            }
        };
        let program = self.path.split(' ').next().unwrap_or(self.path);
        Page::mistake(
            1,
            format!(
                "{program}: '{path}' {expected}\n\nUsage:  {}\n\n{verb} '{path} --help' for more information\n",
                self.usage_lines(),
                path = self.path,
            ),
        )
    }

    /// How many positional arguments there must and may be.
    fn positionals(&self) -> (usize, Option<usize>) {
        let counts = self.command.get_positionals().map(|arg| {
            let range = arg.get_num_args().unwrap_or_else(|| 1.into());
            let least = if arg.is_required_set() { range.min_values().max(1) } else { 0 };
            (least, (range.max_values() < usize::MAX).then_some(range.max_values()))
        });
        counts.fold((0, Some(0)), |(least, most), (l, m)| (least + l, most.zip(m).map(|(a, b)| a + b)))
    }

    /// The usage of each form the command has, the further ones in lines of their own.
    fn usage_lines(&self) -> String {
        let forms: Vec<String> = self
            .usage
            .split('\n')
            .map(|form| format!("{} {form}", self.path).trim_end().to_owned())
            .collect();
        forms.join("\n\t")
    }
}

/// Names no command of the program, or no command of the noun at `path`.
pub fn unknown_command(program: &str, path: &str, words: &str) -> Page {
    let of = format!("{program} {path}");
    let of = of.trim_end();
    let usage = if path.is_empty() { String::new() } else { format!("Usage:  {of}\n\n") };
    Page::mistake(
        1,
        format!(
            "{program}: unknown command: {program} {words}\n\n{usage}Run '{of} --help' for more information\n"
        ),
    )
}

/// A flag where a noun's command should stand.
pub fn unknown_flag_of_noun(path: &str, flag: &str) -> Page {
    let flag = unknown_flag(flag.split('=').next().unwrap_or(flag), &[flag.into()]);
    Page::mistake(
        BAD_FLAG,
        format!("{flag}\n\nUsage:  {path} COMMAND\n\nRun '{path} --help' for more information\n"),
    )
}

/// `help` with words that are no command.
pub fn unknown_topic(words: &[OsString]) -> Page {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    Page::mistake(1, format!("unknown help topic: {}\n", words.join(" ")))
}

/// A short flag is reported with what follows it in its cluster, as `'y' in -yq`.
fn unknown_flag(flag: &str, arguments: &[OsString]) -> String {
    if flag.starts_with("---") || flag.starts_with("--=") {
        return format!("bad flag syntax: {flag}");
    }
    let Some(short) = flag.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else {
        return format!("unknown flag: {}", flag.split('=').next().unwrap_or(flag));
    };
    let letter = short.chars().next().unwrap_or_default();
    let cluster = arguments.iter().find_map(|argument| {
        let cluster = argument.to_str()?.strip_prefix('-').filter(|rest| !rest.starts_with('-'))?;
        cluster.find(letter).map(|at| &cluster[at..])
    });
    format!("unknown shorthand flag: {:?} in -{}", letter, cluster.unwrap_or(short))
}

/// Only the last argument can be a flag that lacks its value.
fn flag_without_value(arguments: &[OsString]) -> String {
    let last = arguments.last().map(|argument| argument.to_string_lossy()).unwrap_or_default();
    match last.strip_prefix('-').filter(|rest| !rest.starts_with('-')) {
        Some(cluster) => {
            let letter = cluster.chars().next_back().unwrap_or_default();
            format!("flag needs an argument: {letter:?} in -{letter}")
        }
        None => format!("flag needs an argument: {last}"),
    }
}

/// Why a value was refused. Numbers get the message of Go's parser.
fn reason(source: &(dyn std::error::Error + 'static), value: &str, option: &Arg) -> String {
    let parser = option.get_value_parser().type_id();
    let is_unsigned = parser == std::any::TypeId::of::<u64>()
        || parser == std::any::TypeId::of::<u32>()
        || parser == std::any::TypeId::of::<u16>();
    let function = if is_unsigned { "ParseUint" } else { "ParseInt" };
    match source.downcast_ref::<ParseIntError>() {
        Some(error) => number_error(function, value, error),
        None => source.to_string(),
    }
}

/// Why `text` is no number, as `function` of Go's says it.
pub fn number_error(function: &str, text: &str, error: &ParseIntError) -> String {
    let why = match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {text:?}: {why}")
}
