//! The image that a new container is made from: the one at hand, or pulled first.

use std::str::FromStr;

use clap::Args;
use engine::{
    Engine, EngineError,
    container::{Container, Create},
};
use types::{Platform, Reference};

use crate::{cli::Globals, commands::image::pull::pull, output::transfer::Target, session};

/// Where the image comes from.
#[derive(Args)]
pub struct Supply {
    /// Set platform if server is multi-platform capable
    #[arg(long)]
    platform: Option<Platform>,
    /// Pull image before running ("always", "missing", "never")
    #[arg(long, default_value = "missing")]
    pull: Policy,
    /// Suppress the pull output
    #[arg(short, long)]
    quiet: bool,
}

/// When a registry is asked for the image.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Always,
    Missing,
    Never,
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Policy, String> {
        match text {
            "always" => Ok(Policy::Always),
            "missing" | "" => Ok(Policy::Missing),
            "never" => Ok(Policy::Never),
            other => {
                let accepted = r#"must be one of "always", "missing" or "never""#;
                Err(format!("invalid pull option: '{other}': {accepted}"))
            }
        }
    }
}

impl Supply {
    /// Creates a container, pulling its image if need be. What is said of that goes to standard error.
    pub fn create(
        &self,
        engine: &Engine,
        globals: &Globals,
        request: Create,
    ) -> anyhow::Result<(Container, monitor::Lock)> {
        if self.pull == Policy::Always {
            self.fetch(engine, globals, &request.image)?;
        } else if self.pull == Policy::Missing && !self.is_at_hand(engine, &request.image)? {
            let name: Reference = request.image.parse()?;
            eprintln!("Unable to find image '{}' locally", name.familiar());
            self.fetch(engine, globals, &request.image)?;
        }
        Ok(engine.create(request)?)
    }

    /// Whether there is such an image, for the platform that was asked for.
    fn is_at_hand(&self, engine: &Engine, image: &str) -> anyhow::Result<bool> {
        match engine.image_for(image, self.platform.as_ref()) {
            Ok(_) => Ok(true),
            Err(EngineError::NoImage(_) | EngineError::OtherPlatform { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn fetch(&self, engine: &Engine, globals: &Globals, image: &str) -> anyhow::Result<()> {
        let target = if self.quiet { Target::Nowhere } else { Target::Stderr };
        let platform = self.platform.clone().unwrap_or_else(Platform::host);
        Ok(pull(engine, &session::client(globals)?, &image.parse()?, &platform, target)?)
    }
}
