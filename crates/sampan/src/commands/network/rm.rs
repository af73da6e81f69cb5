//! `network rm`: remove networks nobody is in.

use std::process::ExitCode;

use clap::Args;
use engine::EngineError;

use crate::{
    cli::{Globals, Verb},
    commands::trash::{Removing, show_plan},
    report,
};

/// Remove one or more networks
#[derive(Args)]
pub struct Remove {
    /// Do not error if the network does not exist
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    removing: Removing,
    #[arg(required = true)]
    networks: Vec<String>,
}

impl Verb for Remove {
    const NAMES: &'static [&'static str] = &["network rm", "network remove"];
    const USAGE: &'static str = "NETWORK [NETWORK...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = self.removing.open(globals)?;
        let mut plan = engine.plan();
        let code = report::for_each(&self.networks, |name| {
            let removed = match self.removing.dry_run {
                true => plan.remove_network(name),
                false => engine.remove_network(name),
            };
            match removed {
                Err(EngineError::NoNetwork(_)) if self.force => Ok(None),
                Err(error) => Err(error.into()),
                Ok(()) => Ok((!self.removing.dry_run).then(|| name.to_owned())),
            }
        })?;
        if self.removing.dry_run {
            show_plan(plan.items());
            return Ok(code);
        }
        self.removing.finish(&engine)?;
        Ok(code)
    }
}
