//! `rmi`: remove names, and images that have none left.

use std::process::ExitCode;

use clap::Args;
use engine::Removed;

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Remove one or more images
#[derive(Args)]
pub struct Remove {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    #[arg(required = true)]
    images: Vec<String>,
}

impl Verb for Remove {
    const NAMES: &'static [&'static str] = &["image rm", "image remove", "rmi"];
    const USAGE: &'static str = "[OPTIONS] IMAGE [IMAGE...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        report::for_each(&self.images, |name| {
            for removed in engine.remove_image(name, self.force)? {
                match removed {
                    Removed::Name(name) => println!("Untagged: {}", name.familiar()),
                    Removed::Image(id) | Removed::Layer(id) => println!("Deleted: {id}"),
                }
            }
            Ok(None)
        })
    }
}
