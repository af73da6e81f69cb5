//! `volume rm`: remove volumes that no container uses.

use std::process::ExitCode;

use clap::Args;
use engine::EngineError;

use crate::{
    cli::{Globals, Verb},
    commands::trash::Removing,
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
        let mut planned = Vec::new();
        let code = report::for_each(&self.volumes, |name| {
            if self.removing.dry_run {
                planned.push(engine.would_remove_volume(name)?);
                return Ok(None);
            }
            match engine.remove_volume(name) {
                Err(EngineError::NoVolume(_)) if self.force => Ok(Some(name.to_owned())),
                Err(error) => Err(error.into()),
                Ok(()) => Ok(Some(name.to_owned())),
            }
        })?;
        self.removing.finish(&engine, &planned)?;
        Ok(code)
    }
}
