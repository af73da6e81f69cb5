//! `buildx history rm`: forgets builds.

use std::process::ExitCode;

use builder::builds;
use clap::Args;

use crate::{
    cli::{Globals, Verb},
    commands::builder::visit,
    session,
};

/// Remove build records
#[derive(Args)]
pub struct Remove {
    /// Remove all build records
    #[arg(long)]
    all: bool,
    /// Override the configured builder instance
    #[arg(long, value_name = "string")]
    builder: Option<String>,
    builds: Vec<String>,
}

impl Verb for Remove {
    const NAMES: &'static [&'static str] = &["buildx history rm"];
    const USAGE: &'static str = "[OPTIONS] [REF...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(self.all || !self.builds.is_empty(), "rm requires at least one argument");
        anyhow::ensure!(
            !self.all || self.builds.is_empty(),
            "rm requires either --all or at least one argument"
        );
        let cache = session::open(globals)?.cache();
        if self.all {
            for build in builds::list(&cache)? {
                // One that is running stays.
                builds::remove(&cache, &build.id).ok();
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut code = ExitCode::SUCCESS;
        for name in &self.builds {
            let removed = builds::find(&cache, name).and_then(|build| builds::remove(&cache, &build.id));
            if let Err(error) = removed {
                code = visit::explain(&error.into());
            }
        }
        Ok(code)
    }
}
