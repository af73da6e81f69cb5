//! `tag`: one more name for an image.

use std::process::ExitCode;

use clap::Args;

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
#[derive(Args)]
pub struct Tag {
    source: String,
    target: String,
}

impl Verb for Tag {
    const NAMES: &'static [&'static str] = &["image tag", "tag"];
    const USAGE: &'static str = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let target = self.target.parse().map_err(|error| {
            anyhow::anyhow!(
                "Error parsing reference: {:?} is not a valid repository/tag: {error}",
                self.target
            )
        })?;
        session::open(globals)?.tag(&self.source, &target)?;
        Ok(ExitCode::SUCCESS)
    }
}
