//! `copy`: an image from one repository to another, without pulling it.

use std::process::ExitCode;

use clap::Args;
use distribution::{
    Selector,
    copy::{Passed, copy},
};
use types::{Platform, Reference};

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Copy an image between repositories or registries without pulling it
///
/// An image for several platforms is copied with all of them, and keeps its digest.
#[derive(Args)]
pub struct Copy {
    /// Copy only the image for this platform
    #[arg(long)]
    platform: Option<Platform>,
    /// Print only the digest
    #[arg(short, long)]
    quiet: bool,
    source: String,
    target: String,
}

impl Verb for Copy {
    const NAMES: &'static [&'static str] = &["image copy", "copy"];
    const USAGE: &'static str = "[OPTIONS] SOURCE[:TAG|@DIGEST] TARGET[:TAG]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let (source, target): (Reference, Reference) = (self.source.parse()?, self.target.parse()?);
        let client = session::client(globals)?;
        let from = client.repository(source.registry(), source.path());
        let to = client.repository(target.registry(), target.path());
        let copied = copy(
            (&from, &Selector::from(&source)),
            (&to, &Selector::from(&target)),
            self.platform.as_ref(),
            &|blob, passed| {
                let how = match passed {
                    Passed::Sent => "Copied",
                    Passed::Mounted => "Mounted",
                    Passed::There => "Already exists",
                };
                if !self.quiet {
                    println!("{}: {how}", &blob.digest.hex()[..12]);
                }
            },
        )?;
        match self.quiet {
            true => println!("{}", copied.digest),
            false => {
                let name = target.tag().unwrap_or_default();
                println!("{name}: digest: {} size: {}", copied.digest, copied.size);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
