//! `context rm`: forget engines.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    contexts::{self, Contexts, DEFAULT},
    report,
};

/// Remove one or more contexts
#[derive(Args)]
pub struct Remove {
    /// Force the removal of a context in use
    #[arg(short, long)]
    force: bool,
    #[arg(required = true)]
    contexts: Vec<String>,
}

impl Verb for Remove {
    const NAMES: &'static [&'static str] = &["context rm", "context remove"];
    const USAGE: &'static str = "CONTEXT [CONTEXT...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let contexts = Contexts::of(globals)?;
        let current = contexts::current(globals);
        report::for_each(&self.contexts, |name| {
            if name == DEFAULT {
                anyhow::bail!("context \"default\" cannot be removed");
            }
            if name == current {
                if !self.force {
                    anyhow::bail!("context {name:?} is in use, set -f flag to force remove");
                }
                contexts.make_current(DEFAULT)?;
            }
            if !self.force && !contexts.has(name) {
                anyhow::bail!("context {name:?} does not exist");
            }
            contexts.remove(name)?;
            Ok(Some(name.to_owned()))
        })
    }
}
