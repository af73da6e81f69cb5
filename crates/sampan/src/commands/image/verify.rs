//! `image verify`: whether the images on the disk are what they were.

use std::{collections::HashMap, process::ExitCode};

use clap::Args;
use engine::{Engine, EngineError};
use image::store::{Fault, Finding, Subject};
use types::Digest;

use crate::{
    cli::{Globals, Verb},
    report, session,
};

/// Check every blob and unpacked layer against its digest
#[derive(Args)]
pub struct Verify {
    /// Only show what is wrong
    #[arg(short, long)]
    quiet: bool,
    /// Repair what is wrong, from what else is here or from the registry it came from
    #[arg(long)]
    repair: bool,
}

impl Verb for Verify {
    const NAMES: &'static [&'static str] = &["image verify"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let mut looked_at = 0;
        let findings = engine.verify(|verified| looked_at = verified.total)?;
        let mut bad = findings.len();
        let names = names(&engine)?;
        let client = if self.repair && bad > 0 { Some(session::client(globals)?) } else { None };
        for finding in &findings {
            println!("{}", describe(finding, &names));
            let Some(client) = &client else { continue };
            match engine.repair(client, finding) {
                Ok(true) => {
                    bad -= 1;
                    println!("  repaired");
                }
                Ok(false) => println!("  cannot be repaired: build it, load it or pull it again"),
                Err(error) => println!("  cannot be repaired: {}", report::chain(&error)),
            }
        }
        if !self.quiet {
            println!("Verified {looked_at} blobs and layers: {}", verdict(findings.len(), bad));
        }
        if bad > 0 && !self.repair {
            report::advise("`sampan image verify --repair` repairs what can be");
        }
        Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What images are called, by their manifests.
fn names(engine: &Engine) -> Result<HashMap<Digest, String>, EngineError> {
    let named = engine.list_images()?.into_iter().map(|image| {
        let name = image.names.first().map_or_else(|| image.id.short(), |name| name.familiar());
        (image.manifest, name)
    });
    Ok(named.collect())
}

fn describe(finding: &Finding, names: &HashMap<Digest, String>) -> String {
    let (what, digest) = match finding.subject {
        Subject::Manifest(digest) => ("manifest", digest),
        Subject::Blob(digest) => ("blob", digest),
        Subject::Layer { diff_id, .. } => ("layer", diff_id),
    };
    let fault = match finding.fault {
        Fault::Missing => "is missing",
        Fault::Damaged => "is damaged",
        Fault::Record => "has a damaged record",
    };
    let mut users: Vec<&str> =
        finding.manifests.iter().filter_map(|manifest| names.get(manifest)).map(String::as_str).collect();
    users.sort_unstable();
    let users = if users.is_empty() { String::new() } else { format!(" (needed by {})", users.join(", ")) };
    format!("{what} {digest} {fault}{users}")
}

fn verdict(found: usize, left: usize) -> String {
    match (found, left) {
        (0, _) => "all are sound".to_owned(),
        (found, 0) => format!("{found} repaired"),
        (found, left) if found == left => format!("{left} bad"),
        (found, left) => format!("{} repaired, {left} bad", found - left),
    }
}
