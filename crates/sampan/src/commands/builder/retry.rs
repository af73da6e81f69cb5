//! `build retry`: a recent build, once more.

use std::process::ExitCode;

use builder::builds;
use clap::Args;

use super::visit;
use crate::{
    cli::{Globals, Verb},
    commands::image::build,
    session,
};

/// Do a recent build again as it was asked for
#[derive(Args)]
pub struct Retry {
    /// Do this step anew, and all that stand on it, whatever the cache has
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    build: Option<String>,
}

impl Verb for Retry {
    const NAMES: &'static [&'static str] = &["builder retry", "build retry"];
    const USAGE: &'static str = "[OPTIONS] [BUILD]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let cache = session::open(globals)?.cache();
        let wanted = match (&self.from, &self.build) {
            (Some(step), None) => builds::find_step(&cache, step),
            (Some(step), Some(build)) => builds::find_step(&cache, &format!("{build}:{step}")),
            (None, build) => builds::find(&cache, build.as_deref().unwrap_or_default())
                .map(|build| builds::Found { build, step: 0 }),
        };
        let found = match wanted {
            Ok(found) => found,
            Err(error) => return Ok(visit::explain(&error.into())),
        };
        let from = self.from.map(|_| found.build.steps[found.step].name.clone());
        build::again(&found.build, from, globals)
    }
}
