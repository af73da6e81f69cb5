//! `version`: which sampan this is, and where it runs.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::{
    cli::{Globals, Verb},
    output::json::View,
};

/// Show the sampan version information
#[derive(Args)]
pub struct Version {
    /// Format output using a custom template
    #[arg(short, long)]
    format: Option<String>,
}

impl Verb for Version {
    const NAMES: &'static [&'static str] = &["version", "system version"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, _: &Globals) -> anyhow::Result<ExitCode> {
        let (version, platform) = (env!("CARGO_PKG_VERSION"), types::Platform::host());
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        if let Some(format) = &self.format {
            // Client and server are one program here; templates for docker name them both.
            let side = json!({
                "Version": version, "Os": platform.os, "Arch": platform.architecture, "KernelVersion": kernel,
            });
            let both = json!({ "Client": side, "Server": side });
            let shown = match format.as_str() {
                "json" => both.to_string() + "\n",
                template => View::parse(Some(template))?.show(&[both])?,
            };
            print!("{shown}");
            return Ok(ExitCode::SUCCESS);
        }
        println!("sampan:");
        println!(" Version:           {version}");
        println!(" OS/Arch:           {platform}");
        println!(" Kernel:            {kernel}");
        Ok(ExitCode::SUCCESS)
    }
}
