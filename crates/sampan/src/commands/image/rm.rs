//! `rmi`: remove names, and images that have none left.

use std::process::ExitCode;

use clap::Args;
use engine::{EngineError, Removed};
use types::Platform;

use crate::{
    cli::{Globals, Verb},
    commands::trash::{Removing, show_plan},
    report,
};

/// Remove one or more images
#[derive(Args)]
pub struct Remove {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    /// Do not delete untagged parents
    #[arg(long)]
    no_prune: bool,
    /// Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    platform: Vec<Platform>,
    #[command(flatten)]
    removing: Removing,
    #[arg(required = true)]
    images: Vec<String>,
}

impl Verb for Remove {
    const NAMES: &'static [&'static str] = &["image rm", "image remove", "rmi"];
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        // Images have no parents here that could be left without a name.
        let _ = self.no_prune;
        let engine = self.removing.open(globals)?;
        let mut plan = engine.plan();
        let code = report::for_each(&self.images, |name| {
            // An image is for one platform: it is removed if it is the one that is meant.
            for platform in &self.platform {
                engine.image_for(name, Some(platform))?;
            }
            let removed = match self.removing.dry_run {
                true => plan.remove_image(name, self.force).map(|()| Vec::new()),
                false => engine.remove_image(name, self.force),
            };
            let removed = match removed {
                // What is not there need not be removed by force; that it is not is told all the same.
                Err(error @ EngineError::NoImage(_)) if self.force => {
                    report::failure(&error.into());
                    return Ok(None);
                }
                removed => removed?,
            };
            for removed in removed {
                match removed {
                    Removed::Name(name) => println!("Untagged: {}", name.familiar()),
                    Removed::Image(id) | Removed::Layer(id) => println!("Deleted: {id}"),
                }
            }
            Ok(None)
        })?;
        if self.removing.dry_run {
            show_plan(plan.items());
            return Ok(code);
        }
        self.removing.finish(&engine)?;
        Ok(code)
    }
}
