//! `manifest inspect`: what a registry says of an image, without pulling it.

use std::process::ExitCode;

use clap::Args;
use distribution::{Fetched, Repository, Selector};
use engine::EngineError;
use image::manifest::{Document, MANIFEST_LIMIT, owned_json};
use serde_json::{Value, json};
use types::Reference;

use crate::{
    cli::{Globals, Verb},
    session,
};

/// Display an image manifest, or manifest list
#[derive(Args)]
pub struct Inspect {
    /// Allow communication with an insecure registry
    #[arg(long)]
    insecure: bool,
    /// Output additional info including layers and platform
    #[arg(short, long)]
    verbose: bool,
    manifest: String,
}

impl Verb for Inspect {
    const NAMES: &'static [&'static str] = &["manifest inspect"];
    const USAGE: &'static str = "[OPTIONS] MANIFEST";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let reference: Reference = self.manifest.parse()?;
        let mut settings = session::registries(globals)?;
        if self.insecure {
            settings.registries.insecure.push(reference.registry().to_owned());
        }
        let client = distribution::Client::new(settings);
        let repository = client.repository(reference.registry(), reference.path());
        let fetched = repository.manifest(&Selector::from(&reference)).map_err(EngineError::from)?;
        let shown = match self.verbose {
            false => owned_json(&fetched.bytes, MANIFEST_LIMIT)?,
            true => in_detail(&repository, &reference, fetched)?,
        };
        println!("{}", indented(&shown)?);
        Ok(ExitCode::SUCCESS)
    }
}

/// The manifest, or each of an index's manifests, with its descriptor.
fn in_detail(repository: &Repository<'_>, reference: &Reference, fetched: Fetched) -> anyhow::Result<Value> {
    match Document::parse(&fetched.bytes, &fetched.media_type)? {
        Document::Manifest(_) => detail(reference, &fetched, Value::Null),
        Document::Index(index) => {
            let details = index.manifests.iter().map(|descriptor| {
                let fetched =
                    repository.manifest(&Selector::Digest(descriptor.digest)).map_err(EngineError::from)?;
                detail(reference, &fetched, json!(descriptor.platform))
            });
            Ok(Value::Array(details.collect::<anyhow::Result<_>>()?))
        }
    }
}

fn detail(reference: &Reference, fetched: &Fetched, platform: Value) -> anyhow::Result<Value> {
    let Fetched { digest, media_type, bytes } = fetched;
    let manifest: Value = owned_json(bytes, MANIFEST_LIMIT)?;
    let mut descriptor = json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() });
    if !platform.is_null() {
        descriptor["platform"] = platform;
    }
    let kind = if media_type.contains("docker") { "SchemaV2Manifest" } else { "OCIManifest" };
    Ok(json!({ "Ref": format!("{reference}@{digest}"), "Descriptor": descriptor, kind: manifest }))
}

/// JSON as docker's manifest command indents it: by tabs.
fn indented(value: &Value) -> serde_json::Result<String> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    serde::Serialize::serialize(value, &mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
    Ok(String::from_utf8(text).expect("JSON is UTF-8"))
}
