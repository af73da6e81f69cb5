//! The command line: which command is meant, and with what arguments.
//!
//! Knows words, flags and docker's rules for both. What a command does is its own matter: it is one file
//! with its arguments, its names and what to do, and one line in the list of commands.

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, error::ErrorKind};

use crate::{
    contexts::ContextError,
    usage::{self, Page},
};

/// One thing the program can be told to do. The struct's fields are its flags and arguments, their doc
/// comments the help.
///
/// ```ignore
/// /// Rename a container
/// #[derive(clap::Args)]
/// pub struct Rename {
///     container: String,
///     new_name: String,
/// }
///
/// impl Verb for Rename {
///     const NAMES: &'static [&'static str] = &["container rename", "rename"];
///     const USAGE: &'static str = "CONTAINER NEW_NAME";
///
///     fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> { … }
/// }
/// ```
pub trait Verb: Args {
    /// Every way to spell it, in the order in which help shows them. A name of two words stands first and is
    /// listed under its noun, a name of one word is listed by the program itself.
    const NAMES: &'static [&'static str];
    /// What follows the name in the usage line; one line for each form.
    const USAGE: &'static str;

    /// Does it, and says what the program exits with.
    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode>;
}

/// A verb as the list of commands holds it. Its arguments are described only once it is chosen.
pub struct Command {
    pub names: &'static [&'static str],
    pub usage: &'static str,
    describe: fn() -> clap::Command,
    run: fn(&mut ArgMatches, &Globals) -> anyhow::Result<ExitCode>,
}

impl Command {
    /// The entry for `V`.
    pub const fn of<V: Verb>() -> Command {
        Command {
            names: V::NAMES,
            usage: V::USAGE,
            describe: || V::augment_args(clap::Command::new(V::NAMES[0])),
            run: |matches, globals| V::from_arg_matches_mut(matches)?.run(globals),
        }
    }

    /// Its arguments, under docker's rules.
    pub fn describe(&self) -> clap::Command {
        with_dockers_rules((self.describe)())
    }
}

/// The options before the command.
#[derive(Args, Default, Debug, Clone, PartialEq, Eq)]
pub struct Globals {
    /// Location of client config files
    #[arg(long)]
    pub config: Option<String>,
    /// Name of the context to use to connect to the engine
    #[arg(short, long)]
    pub context: Option<String>,
    /// Enable debug mode
    #[arg(short = 'D', long)]
    pub debug: bool,
    /// Engine socket to connect to
    #[arg(short = 'H', long)]
    pub host: Vec<String>,
    /// Set the logging level ("debug", "info", "warn", "error", "fatal")
    #[arg(short, long, default_value = "info")]
    pub log_level: String,
    /// Directory that holds images, containers and volumes
    #[arg(long)]
    pub root: Option<String>,
    /// Print version information and quit
    #[arg(short, long)]
    version: bool,
    /// What follows: once the command is known, what follows its name.
    #[arg(hide = true, trailing_var_arg = true)]
    pub words: Vec<OsString>,
}

impl Globals {
    /// Fails if they make no sense together, or by themselves.
    fn check(&self) -> anyhow::Result<()> {
        if !LOG_LEVELS.contains(&self.log_level.to_lowercase().as_str()) {
            anyhow::bail!("Unable to parse logging level: {}", self.log_level);
        }
        if self.context.as_ref().is_some_and(|context| !context.is_empty()) && !self.host.is_empty() {
            return Err(ContextError::Conflict.into());
        }
        Ok(())
    }
}

const LOG_LEVELS: [&str; 9] = ["", "trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"];

/// A command line understood: a command, its arguments, and the options before it.
pub struct Cli<'a> {
    pub globals: Globals,
    command: &'a Command,
    matches: ArgMatches,
}

impl<'a> Cli<'a> {
    /// Reads `words`, of which the first is the name the program was called by. What is not a command to
    /// be run, such as a mistake or a wish for help, comes back as the page to print.
    pub fn parse(words: impl IntoIterator<Item = OsString>, program: &Program<'a>) -> Result<Cli<'a>, Page> {
        let mut words = words.into_iter();
        let name = words.next().unwrap_or_default();
        let name = Path::new(&name).file_name().and_then(|name| name.to_str()).unwrap_or(program.name);
        let arguments: Vec<OsString> = words.collect();
        let mut options = describe_globals();
        let mut matches = options.try_get_matches_from_mut(&arguments).map_err(|error| {
            let context =
                usage::Context { path: name, usage: "[OPTIONS] COMMAND [ARG...]", command: &options };
            match error.kind() {
                ErrorKind::DisplayHelp => usage::program(name, program),
                _ => context.explain(&error, &arguments),
            }
        })?;
        let mut globals =
            Globals::from_arg_matches_mut(&mut matches).expect("what clap accepted fits the struct");
        if globals.version {
            // Docker's has a capital, and those who ask for it look for that.
            let title = if name == "docker" { "Docker" } else { name };
            return Err(Page::answer(format!("{title} version {}\n", program.version)));
        }
        let words = std::mem::take(&mut globals.words);
        let (command, path, rest) = program.find(name, &words)?;
        let mut options = command.describe();
        let matches = options.try_get_matches_from_mut(rest).map_err(|error| {
            let path = format!("{name} {path}");
            let context = usage::Context { path: &path, usage: command.usage, command: &options };
            match error.kind() {
                ErrorKind::DisplayHelp => context.help(name, command),
                _ => context.explain(&error, rest),
            }
        })?;
        globals.words = rest.to_vec();
        Ok(Cli { globals, command, matches })
    }

    /// Does what the command line says.
    pub fn run(mut self) -> anyhow::Result<ExitCode> {
        self.globals.check()?;
        (self.command.run)(&mut self.matches, &self.globals)
    }
}

/// What the program offers.
pub struct Program<'a> {
    /// Its name unless it is called by another.
    pub name: &'static str,
    pub version: &'static str,
    pub about: &'static str,
    /// The commands that are listed first.
    pub common: &'static [&'static str],
    /// What commands of two words are about, with a description.
    pub nouns: &'static [(&'static str, &'static str)],
    pub commands: &'a [Command],
}

impl<'a> Program<'a> {
    /// The command that the first of `words` name, its spelling, and the words after it.
    fn find<'w>(
        &self,
        name: &str,
        words: &'w [OsString],
    ) -> Result<(&'a Command, String, &'w [OsString]), Page> {
        let mut path = String::new();
        let mut rest = words;
        loop {
            let Some((word, after)) = rest.split_first() else {
                // Asked for nothing, docker explains itself where errors go, but does not fail.
                let page = if path.is_empty() { usage::program(name, self) } else { self.about(name, &path) };
                return Err(page.on_stderr());
            };
            let word = word.to_string_lossy();
            match word.as_ref() {
                "--help" | "-h" => return Err(self.about(name, &path)),
                "help" if path.is_empty() => return Err(self.help(name, after)),
                flag if flag.len() > 1 && flag.starts_with('-') => {
                    return Err(usage::unknown_flag_of_noun(&format!("{name} {path}"), flag));
                }
                _ => {}
            }
            let longer = if path.is_empty() { word.into_owned() } else { format!("{path} {word}") };
            if let Some(command) = self.commands.iter().find(|c| c.names.contains(&longer.as_str())) {
                return Ok(self.deeper(&longer, after, command).unwrap_or((command, longer, after)));
            }
            if !self.is_noun(&longer) {
                return Err(usage::unknown_command(name, &path, &longer));
            }
            (path, rest) = (longer, after);
        }
    }

    /// The command whose name goes on with the next word, if what follows makes no sense as arguments of `command`: of
    /// `build shell`, the context `shell` is built, `build shell STEP` opens a shell.
    fn deeper<'w>(
        &self,
        path: &str,
        words: &'w [OsString],
        command: &Command,
    ) -> Option<(&'a Command, String, &'w [OsString])> {
        let (next, after) = words.split_first()?;
        let longer = format!("{path} {}", next.to_str()?);
        let deeper = self.commands.iter().find(|command| command.names.contains(&longer.as_str()))?;
        match command.describe().try_get_matches_from(words) {
            Ok(_) => None,
            Err(_) => Some((deeper, longer, after)),
        }
    }

    fn is_noun(&self, path: &str) -> bool {
        let names = self.commands.iter().flat_map(|command| command.names);
        names.into_iter().any(|name| name.strip_prefix(path).is_some_and(|rest| rest.starts_with(' ')))
    }

    fn about(&self, name: &str, noun: &str) -> Page {
        let known = self.nouns.iter().find(|(word, _)| *word == noun);
        let about = known.map_or("", |(_, about)| about);
        usage::noun(name, noun, about, self)
    }

    /// `help COMMAND` is `COMMAND --help`.
    fn help(&self, name: &str, topic: &[OsString]) -> Page {
        if topic.is_empty() {
            return usage::program(name, self);
        }
        let mut words: Vec<OsString> = topic.to_vec();
        words.push("--help".into());
        match self.find(name, &words) {
            Ok((command, path, _)) => {
                let context = usage::Context {
                    path: &format!("{name} {path}"),
                    usage: command.usage,
                    command: &command.describe(),
                };
                context.help(name, command)
            }
            Err(page) if page.code == 0 => page,
            Err(_) => usage::unknown_topic(topic),
        }
    }
}

/// The options before the command, under docker's rules.
pub fn describe_globals() -> clap::Command {
    with_dockers_rules(Globals::augment_args(clap::Command::new("")))
}

/// Makes clap read flags as docker's users know them: the last one wins, `--flag=false` is possible, a
/// value may begin with a dash, and `-h` asks for help where it means nothing else.
fn with_dockers_rules(command: clap::Command) -> clap::Command {
    let dash_h_is_taken = command.get_arguments().any(|arg| arg.get_short() == Some('h'));
    let help = Arg::new("help").long("help").action(ArgAction::Help).help("Print usage");
    let help = if dash_h_is_taken { help } else { help.short('h').hide(true) };
    command
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .mut_args(|arg| match arg.get_action() {
            _ if arg.is_positional() => arg,
            ArgAction::SetTrue => {
                let default = arg.get_default_values().first().cloned().unwrap_or_else(|| "false".into());
                arg.action(ArgAction::Set)
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .default_value(default)
                    .value_parser(boolean)
            }
            _ => arg.allow_hyphen_values(true),
        })
        .arg(help)
}

/// What Go takes for a boolean.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests;
