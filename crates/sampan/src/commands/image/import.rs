//! `import`: an image from the files of a root file system.

use std::{
    io::{self, Read},
    process::ExitCode,
};

use clap::Args;
use jiff::Timestamp;
use types::{Platform, Reference};

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Import the contents from a tarball to create a filesystem image
#[derive(Args)]
pub struct Import {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long)]
    change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long)]
    message: Option<String>,
    file: String,
    reference: Option<String>,
}

impl Verb for Import {
    const NAMES: &'static [&'static str] = &["image import", "import"];
    const USAGE: &'static str = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let name = self.reference.as_deref().map(str::parse::<Reference>).transpose()?;
        let source: Box<dyn Read> = match self.file.as_str() {
            "-" => Box::new(io::stdin().lock()),
            url if url.starts_with("http://") || url.starts_with("https://") => {
                anyhow::bail!(
                    "import from a URL is not supported: fetch {url} and import it from standard input"
                )
            }
            path => Box::new(super::open(path)?),
        };
        let platform = Platform::host();
        let now = Timestamp::now().to_string();
        let comment = self.message.unwrap_or_else(|| format!("Imported from {}", self.file));
        let config = image::config::Configuration {
            created: Some(now.clone()),
            architecture: platform.architecture,
            os: platform.os,
            history: vec![image::config::History {
                created: Some(now),
                comment,
                ..image::config::History::default()
            }],
            ..image::config::Configuration::default()
        };
        let config = builder::change(&config, &self.change)
            .map_err(|problem| anyhow::anyhow!("Error response from daemon: {}", problem.message))?;
        println!("{}", session::open(globals)?.import(source, config, name.as_ref())?);
        Ok(ExitCode::SUCCESS)
    }
}
