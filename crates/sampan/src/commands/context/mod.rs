//! Commands about contexts: engines by name.

pub mod create;
pub mod export;
pub mod import;
pub mod inspect;
pub mod ls;
pub mod rm;
pub mod show;
pub mod update;
pub mod r#use;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::{
    cli::boolean,
    contexts::{Contexts, DOCKER, Material},
};

/// Pairs of `--docker`, which are separated by commas.
#[derive(Debug, Clone, Default)]
pub struct Pairs(Vec<(String, String)>);

impl std::str::FromStr for Pairs {
    type Err = String;

    fn from_str(text: &str) -> Result<Pairs, String> {
        let pair = |part: &str| match part.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(format!("{part} must be formatted as key=value")),
        };
        text.split(',').filter(|part| !part.is_empty()).map(pair).collect::<Result<_, _>>().map(Pairs)
    }
}

/// The endpoint that `--docker` describes, and its certificates.
fn endpoint(contexts: &Contexts, options: &[Pairs]) -> anyhow::Result<(Value, Material)> {
    describe(contexts, options).context("unable to create docker endpoint config")
}

fn describe(contexts: &Contexts, options: &[Pairs]) -> anyhow::Result<(Value, Material)> {
    let options: BTreeMap<&str, &str> = options
        .iter()
        .flat_map(|pairs| &pairs.0)
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let unknown: Vec<String> = options
        .keys()
        .filter(|key| !KEYS.contains(key))
        .map(|key| format!("unrecognized config key: {key}"))
        .collect();
    if !unknown.is_empty() {
        bail!(unknown.join("\n"));
    }
    if let Some(other) = options.get("from") {
        let context = contexts.get(other)?;
        let Some(endpoint) = context.endpoints.get(DOCKER) else {
            bail!("unable to get endpoint from context {other:?}");
        };
        return Ok((endpoint.clone(), Material::new()));
    }
    let mut material = Material::new();
    for (key, file) in [("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")] {
        if let Some(path) = options.get(key) {
            let content = fs::read(Path::new(path)).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => anyhow::anyhow!("open {path}: no such file or directory"),
                _ => anyhow::anyhow!("open {path}: {error}"),
            })?;
            material.push((DOCKER.to_owned(), file.to_owned(), content));
        }
    }
    let skip = options.get("skip-tls-verify").copied().unwrap_or("false");
    let skip =
        boolean(skip).map_err(|_| anyhow::anyhow!("skip-tls-verify: parsing {skip:?}: invalid syntax"))?;
    let mut endpoint = json!({});
    if let Some(host) = options.get("host").filter(|host| !host.is_empty()) {
        if host.split_once("://").is_none_or(|(_, address)| address.is_empty()) {
            bail!("unable to apply docker endpoint options: unable to parse docker host `{host}`");
        }
        endpoint["Host"] = json!(host);
    }
    endpoint["SkipTLSVerify"] = json!(skip);
    Ok((endpoint, material))
}

const KEYS: [&str; 6] = ["from", "host", "ca", "cert", "key", "skip-tls-verify"];
