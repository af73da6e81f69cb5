//! The image that a new container is made from: the one at hand, or pulled first.

use std::{fs, path::Path, str::FromStr};

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
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Pull image before running ("always", "missing", "never")
    #[arg(long, default_value = "missing", value_name = "string")]
    pull: String,
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
        mut request: Create,
    ) -> anyhow::Result<(Container, monitor::Lock)> {
        let policy: Policy = self.pull.parse().map_err(anyhow::Error::msg)?;
        let platform = self.platform.as_deref().map(platform).transpose()?;
        let id_file = request.isolation.id_file.clone();
        if !id_file.is_empty() && Path::new(&id_file).exists() {
            anyhow::bail!(
                "container ID file found, make sure the other container isn't running or delete {id_file}"
            );
        }
        let at_hand = self.is_at_hand(engine, &request.image, platform.as_ref());
        match (policy, at_hand) {
            (Policy::Always, _) => self.fetch(engine, globals, &request.image, platform)?,
            (Policy::Missing, Ok(false)) => {
                let name: Reference = request.image.parse()?;
                eprintln!("Unable to find image '{}' locally", name.familiar());
                self.fetch(engine, globals, &request.image, platform)?;
            }
            (Policy::Missing, at_hand) => {
                at_hand?;
            }
            (Policy::Never, _) => {
                engine.image_for(&request.image, platform.as_ref()).map_err(as_usage)?;
            }
        }
        for warning in request.limits.discard_undelegated()? {
            eprintln!("WARNING: {warning}");
        }
        let created = engine.create(request)?;
        if !id_file.is_empty() {
            fs::write(&id_file, created.0.id.to_string()).map_err(|error| {
                anyhow::anyhow!("failed to create the container ID file: {id_file}: {error}")
            })?;
        }
        Ok(created)
    }

    /// Whether there is such an image, for the platform that was asked for.
    fn is_at_hand(&self, engine: &Engine, image: &str, platform: Option<&Platform>) -> anyhow::Result<bool> {
        match engine.image_for(image, platform) {
            Ok(_) => Ok(true),
            Err(EngineError::NoImage(_) | EngineError::OtherPlatform { .. }) => Ok(false),
            Err(error) => Err(as_usage(error)),
        }
    }

    fn fetch(
        &self,
        engine: &Engine,
        globals: &Globals,
        image: &str,
        platform: Option<Platform>,
    ) -> anyhow::Result<()> {
        let target = if self.quiet { Target::Nowhere } else { Target::Stderr };
        let platform = platform.unwrap_or_else(Platform::host);
        Ok(pull(engine, &session::client(globals)?, &image.parse()?, &platform, target)?)
    }
}

fn platform(text: &str) -> anyhow::Result<Platform> {
    let parsed = text.parse::<Platform>();
    parsed.map_err(|_| {
        let why = "cannot parse platform specifier: invalid argument";
        anyhow::anyhow!("error parsing specified platform: {text:?}: {why}")
    })
}

/// What is no image's name, docker's client finds out before it asks.
fn as_usage(error: EngineError) -> anyhow::Error {
    match error {
        EngineError::Invalid(text) if text.starts_with("invalid reference format") => {
            anyhow::Error::msg(text)
        }
        other => other.into(),
    }
}
