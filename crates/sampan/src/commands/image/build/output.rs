//! What becomes of the result: where it goes, its names and labels, and what is written about it.

use std::{fmt, fs};

use anyhow::Context as _;
use builder::{Build as Request, Built};
use clap::Args;
use types::{InvalidReference, Reference};

use super::{
    annotation::annotations,
    cache, export,
    fields::{fields, pairs, truth},
    metadata,
};

/// What a build gives.
#[derive(Args)]
pub struct Outputs {
    /// Add annotation to the image
    #[arg(long)]
    annotation: Vec<String>,
    /// Attestation parameters (format: "type=sbom,generator=image")
    #[arg(long)]
    attest: Vec<String>,
    /// External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")
    #[arg(long)]
    cache_from: Vec<String>,
    /// Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")
    #[arg(long)]
    cache_to: Vec<String>,
    /// Write the image ID to a file
    #[arg(long)]
    iidfile: Option<String>,
    /// Set metadata for an image
    #[arg(long)]
    label: Vec<String>,
    /// Shorthand for "--output=type=docker"
    #[arg(long)]
    load: bool,
    /// Write build result metadata to a file
    #[arg(long)]
    metadata_file: Option<String>,
    /// Output destination (format: "type=local,dest=path")
    #[arg(short, long)]
    output: Vec<String>,
    /// Shorthand for "--attest=type=provenance"
    #[arg(long)]
    provenance: Option<String>,
    /// Shorthand for "--output=type=registry"
    #[arg(long)]
    push: bool,
    /// Shorthand for "--attest=type=sbom"
    #[arg(long)]
    sbom: Option<String>,
    /// Make one layer of all that is built on the base
    #[arg(long)]
    squash: bool,
    /// Name and optionally a tag (format: "name:tag")
    #[arg(short, long)]
    tag: Vec<String>,
}

impl Outputs {
    pub fn add_to(&self, request: &mut Request) -> anyhow::Result<()> {
        request.labels = self.label.iter().map(|text| label(text)).collect::<anyhow::Result<_>>()?;
        request.tags = self.tag.iter().map(|text| tag(text)).collect::<anyhow::Result<_>>()?;
        let annotations = annotations(&self.annotation);
        request.annotations = annotations.context("parse annotations").context("failed to build")?;
        request.squash = self.squash;
        request.cache_from = cache::sources(&self.cache_from)?;
        request.cache_to = cache::exports(&self.cache_to)?;
        if request.arguments.get("BUILDKIT_INLINE_CACHE").is_some_and(|text| truth(text) == Some(true)) {
            request.cache_to.extend(cache::exports(&["type=inline".to_owned()])?);
        }
        self.check_attestations()?;
        let outputs = export::outputs(&self.output, self.push, self.load)?;
        if !self.output.iter().all(String::is_empty) || self.push || self.load {
            request.outputs = Some(outputs);
        }
        Ok(())
    }

    /// Writes down what a finished build gave.
    pub fn record(&self, built: &Built) -> anyhow::Result<()> {
        if let Some(file) = &self.iidfile {
            fs::write(file, metadata::id(built))
                .with_context(|| format!("writing image ID file: open {file}"))?;
        }
        if let Some(file) = &self.metadata_file {
            fs::write(file, metadata::json(built)).with_context(|| format!("open {file}"))?;
        }
        Ok(())
    }

    /// None are made. Who asks for one is told so, once for each kind.
    fn check_attestations(&self) -> anyhow::Result<()> {
        let shorthands = [("provenance", &self.provenance), ("sbom", &self.sbom)];
        let mut asked = Vec::new();
        for (kind, value) in shorthands.iter().filter_map(|(kind, value)| Some((*kind, value.as_ref()?))) {
            if truth(value).unwrap_or(true) && !value.is_empty() {
                if truth(value).is_none() {
                    pairs(&fields(value)?)?;
                }
                asked.push(kind.to_owned());
            }
        }
        for text in self.attest.iter().filter(|text| !text.is_empty()) {
            let pairs = pairs(&fields(text)?)?;
            let value = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value);
            let Some(kind) = value("type") else { anyhow::bail!("attestation type not specified") };
            if value("disabled").is_none_or(|text| truth(text) != Some(true)) {
                asked.push(kind.clone());
            }
        }
        asked.sort();
        asked.dedup();
        for kind in asked {
            eprintln!("WARNING: no {kind} attestation is made: sampan writes none");
        }
        Ok(())
    }
}

fn tag(text: &str) -> anyhow::Result<Reference> {
    let invalid =
        |reason: &dyn fmt::Display| anyhow::anyhow!("failed to build: invalid tag {text:?}: {reason}");
    text.parse().map_err(|error| match error {
        _ if text.is_empty() => invalid(&"repository name must have at least one component"),
        InvalidReference::Uppercase(_) => invalid(&"repository name must be lowercase"),
        other => invalid(&other),
    })
}

fn label(text: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    anyhow::ensure!(!key.is_empty(), "invalid key-value pair {text:?}: empty key");
    Ok((key.to_owned(), value.to_owned()))
}
