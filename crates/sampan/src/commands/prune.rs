//! What the commands that prune have in common: their options and steps, docker's words for what is gone, and the filters of the
//! user's configuration.

use clap::Args;
use engine::{Engine, Removed, plan::Plan};

use super::trash::{Removing, show_plan};
use crate::{cli::Globals, confirm::confirm, filter::Filter, output::human, session};

/// The options by which nothing goes that was not meant to.
#[derive(Args)]
pub struct Caution {
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    removing: Removing,
}

impl Caution {
    pub fn open(&self, globals: &Globals) -> anyhow::Result<Engine> {
        self.removing.open(globals)
    }

    /// Asks, and then has `remove` do what it does, or only says what `plan` finds to go. `None` if nothing was removed.
    pub fn prune<T, E>(
        &self,
        engine: &Engine,
        warning: &str,
        plan: impl FnOnce(&mut Plan<'_>) -> Result<(), E>,
        remove: impl FnOnce() -> Result<T, E>,
    ) -> anyhow::Result<Option<T>>
    where
        anyhow::Error: From<E>,
    {
        if self.removing.dry_run {
            let mut found = engine.plan();
            plan(&mut found)?;
            show_plan(found.items());
            return Ok(None);
        }
        if !self.force && !confirm(warning)? {
            return Ok(None);
        }
        let removed = remove()?;
        self.removing.finish(engine)?;
        Ok(Some(removed))
    }
}

/// The filters of a command, and those that the user's configuration has for all of pruning. As with docker, what the command
/// says of a label counts more.
pub fn filters(globals: &Globals, own: &[Filter]) -> Vec<Filter> {
    let configured = session::configuration(globals)
        .and_then(|configuration| configuration.get("pruneFilters")?.as_array().cloned())
        .unwrap_or_default();
    let configured = configured.iter().filter_map(|text| text.as_str()?.parse::<Filter>().ok());
    with(own, configured.filter(|filter| !filter.value.is_empty()))
}

fn with(own: &[Filter], configured: impl Iterator<Item = Filter>) -> Vec<Filter> {
    let mut all = own.to_vec();
    for filter in configured {
        let opposite = match filter.kind.as_str() {
            "label" => "label!",
            "label!" => "label",
            _ => "",
        };
        let is_overruled = own.iter().any(|own| own.kind == opposite && own.value == filter.value);
        if !is_overruled && !all.contains(&filter) {
            all.push(filter);
        }
    }
    all
}

/// A block of lines with an empty one after it; nothing if there are none.
pub fn show(title: &str, lines: impl IntoIterator<Item = String>) {
    let mut lines = lines.into_iter().peekable();
    if lines.peek().is_some() {
        println!("{title}:");
        lines.for_each(|line| println!("{line}"));
        println!();
    }
}

/// The last line: what the disk has more of.
pub fn show_total(bytes: u64) {
    println!("Total reclaimed space: {}", human::size(bytes, 4));
}

/// What went of images, a line each.
pub fn image_lines(removed: &[Removed]) -> impl Iterator<Item = String> + '_ {
    removed.iter().map(|removed| match removed {
        Removed::Name(name) => format!("untagged: {}", name.familiar()),
        Removed::Image(id) | Removed::Layer(id) => format!("deleted: {id}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_command_says_of_a_label_overrules_the_configuration() {
        let parse =
            |texts: &[&str]| -> Vec<Filter> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let check = |own: &[&str], configured: &[&str], expected: &[&str]| {
            assert_eq!(
                with(&parse(own), parse(configured).into_iter()),
                parse(expected),
                "{own:?} {configured:?}"
            );
        };
        check(&[], &["label!=keep"], &["label!=keep"]);
        check(&["label=keep"], &["label!=keep"], &["label=keep"]);
        check(&["label!=keep"], &["label=keep", "until=1h"], &["label!=keep", "until=1h"]);
        check(&["label=keep"], &["label=keep", "label=other"], &["label=keep", "label=other"]);
    }
}
