//! `volume rm`: remove volumes that no container uses.

use std::process::ExitCode;

use clap::Args;
use engine::EngineError;

use crate::{
    cli::{Globals, Verb},
    commands::trash::{Removing, show_plan},
    report,
};

/// Remove one or more volumes
#[derive(Args)]
pub struct Remove {
    /// Force the removal of one or more volumes
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    removing: Removing,
    #[arg(required = true)]
    volumes: Vec<String>,
}

impl Verb for Remove {
    const NAMES: &'static [&'static str] = &["volume rm", "volume remove"];
    const USAGE: &'static str = "[OPTIONS] VOLUME [VOLUME...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = self.removing.open(globals)?;
        let mut plan = engine.plan();
        let code = report::for_each(&self.volumes, |name| {
            let removed = match self.removing.dry_run {
                true => plan.remove_volume(name),
                false => engine.remove_volume(name),
            };
            match removed {
                Err(EngineError::NoVolume(_)) if self.force => {}
                removed => removed?,
            }
            Ok((!self.removing.dry_run).then(|| name.to_owned()))
        })?;
        if self.removing.dry_run {
            show_plan(plan.items());
            return Ok(code);
        }
        self.removing.finish(&engine)?;
        Ok(code)
    }
}
