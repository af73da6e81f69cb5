//! `logout`: forgets the credentials for a registry.

use std::process::ExitCode;

use clap::Args;
use distribution::{ConfigFile, credentials::server_of};

use super::login::registry_of;
use crate::{
    cli::{Globals, Verb},
    session,
};

/// Log out from a registry
#[derive(Args)]
pub struct Logout {
    server: Option<String>,
}

impl Verb for Logout {
    const NAMES: &'static [&'static str] = &["logout"];
    const USAGE: &'static str = "[SERVER]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let registry = registry_of(self.server.as_deref());
        let settings = session::registries(globals)?;
        println!("Removing login credentials for {}", server_of(&registry));
        // Docker says so even where there were none.
        let _were_there = ConfigFile::load(&settings.config_directory)?.erase(&registry)?;
        Ok(ExitCode::SUCCESS)
    }
}
