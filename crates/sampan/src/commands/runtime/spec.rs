//! `runtime spec`: a specification to begin with.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::ser::PrettyFormatter;

/// Create a new specification file
#[derive(Args)]
pub struct Spec {
    /// Directory to write it to
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// For a user who is not root
    #[arg(long)]
    rootless: bool,
}

impl Spec {
    pub fn run(self) -> anyhow::Result<()> {
        let mut text = Vec::new();
        let form = PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, form);
        serde::Serialize::serialize(&oci::template(self.rootless), &mut serializer)?;
        match File::create_new(self.bundle.join("config.json")) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!("File config.json exists. Remove it first")
            }
            file => Ok(file.and_then(|mut file| file.write_all(&text)).context("writing config.json")?),
        }
    }
}
