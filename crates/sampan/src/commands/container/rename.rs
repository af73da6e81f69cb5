//! `rename`: give a container another name.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Rename a container
#[derive(Args)]
pub struct Rename {
    #[arg(required = true)]
    container: String,
    #[arg(required = true)]
    new_name: String,
}

impl Verb for Rename {
    const NAMES: &'static [&'static str] = &["container rename", "rename"];
    const USAGE: &'static str = "CONTAINER NEW_NAME";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        if self.container.trim().is_empty() || self.new_name.trim().is_empty() {
            anyhow::bail!("Error: Neither old nor new names may be empty");
        }
        let engine = session::open(globals)?;
        let renamed = engine
            .container(self.container.trim())
            .and_then(|container| engine.rename(&container, self.new_name.trim()));
        match renamed {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                let code = report::failure(&error.into());
                eprintln!("Error: failed to rename container named {}", self.container);
                Ok(code)
            }
        }
    }
}
