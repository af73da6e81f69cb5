//! Help pages in docker's layout.

use clap::{Arg, ArgAction};

use super::{Context, Page};
use crate::cli::{Command, Program, describe_globals};

/// The program's own page: its commands and the options before them.
pub fn program(name: &str, program: &Program<'_>) -> Page {
    let mut text = format!("Usage:  {name} [OPTIONS] COMMAND\n\n{}\n", program.about);
    let (common, others): (Vec<_>, Vec<_>) = program
        .commands
        .iter()
        .filter_map(|command| command.names.iter().find(|name| !name.contains(' ')).map(|n| (*n, command)))
        .partition(|(name, _)| program.common.contains(name));
    let position = |name: &str| program.common.iter().position(|common| *common == name);
    let mut common: Vec<_> = common.into_iter().map(|(name, command)| (name, about(command))).collect();
    common.sort_by_key(|(name, _)| position(name));
    let mut others: Vec<_> = others.into_iter().map(|(name, command)| (name, about(command))).collect();
    others.sort();
    let nouns = program.nouns.iter().map(|(noun, about)| (*noun, (*about).to_owned())).collect();
    for (title, commands) in
        [("Common Commands", common), ("Management Commands", nouns), ("Commands", others)]
    {
        list(&mut text, title, &commands);
    }
    text.push_str("\nGlobal Options:\n");
    text.push_str(&options(&describe_globals(), width()));
    text.push_str(&format!("\nRun '{name} COMMAND --help' for more information on a command.\n"));
    Page::answer(text)
}

/// A noun's page: the commands it has.
pub fn noun(name: &str, noun: &str, about_noun: &str, program: &Program<'_>) -> Page {
    let mut text = format!("Usage:  {name} {noun} COMMAND\n\n{about_noun}\n");
    let verb =
        |command: &Command| command.names.iter().find_map(|name| name.strip_prefix(noun)?.strip_prefix(' '));
    let mut commands: Vec<_> =
        program.commands.iter().filter_map(|command| Some((verb(command)?, about(command)))).collect();
    commands.sort();
    list(&mut text, "Commands", &commands);
    text.push_str(&format!("\nRun '{name} {noun} COMMAND --help' for more information on a command.\n"));
    Page::answer(text)
}

impl Context<'_> {
    /// A command's page: what it does, how else it is called, and its options.
    pub fn help(&self, program: &str, entry: &Command) -> Page {
        let about = self.command.get_long_about().or(self.command.get_about());
        let about = about.map(ToString::to_string).unwrap_or_default();
        let mut text = format!("Usage:  {}\n\n{}\n", self.usage_lines(), about.trim());
        if entry.names.len() > 1 {
            let names: Vec<_> = entry.names.iter().map(|name| format!("{program} {name}")).collect();
            text.push_str(&format!("\nAliases:\n  {}\n", names.join(", ")));
        }
        let options = options(self.command, width());
        if !options.is_empty() {
            text.push_str(&format!("\nOptions:\n{options}"));
        }
        Page::answer(text)
    }
}

fn about(command: &Command) -> String {
    command.describe().get_about().map(ToString::to_string).unwrap_or_default()
}

fn list(text: &mut String, title: &str, commands: &[(&str, String)]) {
    if commands.is_empty() {
        return;
    }
    text.push_str(&format!("\n{title}:\n"));
    for (name, about) in commands {
        text.push_str(&format!("  {name:<11} {about}\n"));
    }
}

/// The terminal's width less one, or that of a page of 80 columns.
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stdin()).map_or(80, |size| size.ws_col.into());
    if columns > 1 { columns - 1 } else { 79 }
}

/// One or more lines for each option, in the order of their names.
fn options(command: &clap::Command, width: usize) -> String {
    let mut shown: Vec<&Arg> =
        command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()).collect();
    shown.sort_by_key(|arg| arg.get_long());
    let left: Vec<String> = shown.iter().map(|arg| flag(arg)).collect();
    let indent = left.iter().map(|text| text.chars().count()).max().unwrap_or(0) + 3;
    let lines = shown.iter().zip(&left).map(|(arg, left)| {
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let help = help + &default(arg);
        format!("{left:<indent$}{}\n", wrapped(&help, indent, width))
    });
    lines.collect()
}

fn flag(arg: &Arg) -> String {
    let long = arg.get_long().unwrap_or_default();
    let flag = match arg.get_short() {
        Some(short) => format!("  -{short}, --{long}"),
        None => format!("      --{long}"),
    };
    match kind(arg) {
        Kind::Boolean => flag,
        Kind::List => flag + " list",
        Kind::Number => flag + " int",
        Kind::Text => flag + " string",
        Kind::Other(name) => format!("{flag} {name}"),
    }
}

enum Kind<'a> {
    Boolean,
    List,
    Number,
    Text,
    /// Named by the option itself.
    Other(&'a str),
}

/// What an option takes. A value name in lower case is docker's word for it; others are clap's guess.
fn kind(arg: &Arg) -> Kind<'_> {
    let parser = arg.get_value_parser().type_id();
    let is = |id: std::any::TypeId| parser == id;
    if matches!(arg.get_action(), ArgAction::Help) || is(std::any::TypeId::of::<bool>()) {
        return Kind::Boolean;
    }
    match arg.get_value_names() {
        Some([name]) if !name.contains(char::is_uppercase) => Kind::Other(name),
        _ if matches!(arg.get_action(), ArgAction::Append) => Kind::List,
        _ if is(std::any::TypeId::of::<i64>()) || is(std::any::TypeId::of::<i32>()) => Kind::Number,
        _ => Kind::Text,
    }
}

fn default(arg: &Arg) -> String {
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    match (kind(arg), default.as_slice()) {
        (_, []) => String::new(),
        (Kind::Boolean, [value]) if value == "false" => String::new(),
        (Kind::Number, [value]) if value == "0" => String::new(),
        (Kind::Text, [value]) => format!(" (default {value:?})"),
        (_, values) => format!(" (default {})", values.join(",")),
    }
}

/// `text` in lines that end before column `width`, all but the first indented. Rather than leaving a short
/// rest on a line of its own, a line may take a few characters more.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    const NARROWEST: usize = 24;
    const SLACK: usize = 5;
    let margin = format!("\n{}", " ".repeat(indent));
    let room = width.saturating_sub(indent);
    if room < NARROWEST {
        return text.replace('\n', &margin);
    }
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut rest = paragraph;
        while rest.chars().count() >= room {
            let limit = rest.char_indices().nth(room - SLACK).map_or(rest.len(), |(at, _)| at);
            let Some(space) = rest[..limit].rfind([' ', '\t']).filter(|at| *at > 0) else { break };
            lines.push(&rest[..space]);
            rest = &rest[space + 1..];
        }
        lines.push(rest);
    }
    lines.join(&margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_wraps_before_the_last_columns_but_leaves_no_orphan() {
        let indent = 24;
        assert_eq!(wrapped("Only display container IDs", indent, 79), "Only display container IDs");
        assert_eq!(
            wrapped("Show n last created containers (includes all states) (default -1)", indent, 79),
            format!(
                "Show n last created containers (includes all\n{}states) (default -1)",
                " ".repeat(indent)
            )
        );
        assert_eq!(
            wrapped("Show the latest created container (includes all states)", indent, 79),
            format!("Show the latest created container (includes all\n{}states)", " ".repeat(indent))
        );
        assert_eq!(wrapped("a\nb", 60, 79), format!("a\n{}b", " ".repeat(60)));
    }
}
