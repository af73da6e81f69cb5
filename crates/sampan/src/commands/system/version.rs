//! `version`: which sampan this is, and where it runs.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    cli::{Globals, Verb},
    contexts,
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

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let context = contexts::current(globals);
        let platform = types::Platform::host();
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        if let Some(format) = &self.format {
            contexts::check_local(globals)?;
            let both = describe(&platform, &kernel, &context);
            let shown = match format.as_str() {
                "json" => both.to_string() + "\n",
                template => View::parse(Some(template))?.show(&[both])?,
            };
            print!("{shown}");
            return Ok(ExitCode::SUCCESS);
        }
        // Client and server are one program here; scripts look for either.
        println!("Client:");
        println!(" Version:           {VERSION}");
        println!(" API version:       {API}");
        println!(" OS/Arch:           {platform}");
        println!(" Context:           {context}");
        contexts::check_local(globals)?;
        println!("\nServer:\n Engine:");
        println!("  Version:          {VERSION}");
        println!("  API version:      {API} (minimum version {OLDEST_API})");
        println!("  OS/Arch:          {platform}");
        println!("  Kernel:           {kernel}");
        println!("  Experimental:     false");
        Ok(ExitCode::SUCCESS)
    }
}

/// Both sides, as docker's API describes them.
fn describe(platform: &types::Platform, kernel: &str, context: &str) -> Value {
    json!({
        "Client": {
            "Version": VERSION,
            "ApiVersion": API,
            "DefaultAPIVersion": API,
            "GitCommit": "",
            "GoVersion": "",
            "Os": platform.os,
            "Arch": platform.architecture,
            "BuildTime": "",
            "Context": context,
        },
        "Server": {
            "Platform": { "Name": "sampan" },
            "Components": [{
                "Name": "Engine",
                "Version": VERSION,
                "Details": {
                    "ApiVersion": API,
                    "Arch": platform.architecture,
                    "KernelVersion": kernel,
                    "MinAPIVersion": OLDEST_API,
                    "Os": platform.os,
                },
            }],
            "Version": VERSION,
            "ApiVersion": API,
            "MinAPIVersion": OLDEST_API,
            "GitCommit": "",
            "GoVersion": "",
            "Os": platform.os,
            "Arch": platform.architecture,
            "KernelVersion": kernel,
            "BuildTime": "",
        },
    })
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The version of docker's API whose words are spoken, and the oldest whose are understood.
const API: &str = "1.51";
const OLDEST_API: &str = "1.24";
