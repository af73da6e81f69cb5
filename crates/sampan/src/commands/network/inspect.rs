//! `network inspect`: everything about networks, as docker's API has it.

use std::process::ExitCode;

use clap::Args;
use engine::{Engine, EngineError};
use serde_json::{Map, Value, json};

use crate::{
    cli::{Globals, Verb},
    commands::system::inspect::show,
    session,
};

/// Display detailed information on one or more networks
#[derive(Args)]
pub struct Inspect {
    /// Format output using a custom template
    #[arg(short, long)]
    format: Option<String>,
    #[arg(required = true)]
    networks: Vec<String>,
}

impl Verb for Inspect {
    const NAMES: &'static [&'static str] = &["network inspect"];
    const USAGE: &'static str = "[OPTIONS] NETWORK [NETWORK...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        show(self.format.as_deref(), &self.networks, |name| Ok(Some(describe(&engine, name)?)))
    }
}

/// The network as docker's API describes it.
pub fn describe(engine: &Engine, reference: &str) -> Result<Value, EngineError> {
    let network = engine.network(reference)?;
    let prefix = network.config.subnet.prefix_len();
    let containers: Map<String, Value> = engine
        .endpoints(&network)?
        .into_iter()
        .map(|endpoint| {
            let described = json!({
                "Name": endpoint.name,
                "EndpointID": "",
                "MacAddress": endpoint.mac.to_string(),
                "IPv4Address": format!("{}/{prefix}", endpoint.address),
                "IPv6Address": "",
            });
            (endpoint.container.to_string(), described)
        })
        .collect();
    Ok(json!({
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": {
            "Driver": "default",
            "Options": null,
            "Config": [{ "Subnet": network.config.subnet.to_string(), "Gateway": network.config.gateway.to_string() }],
        },
        "Internal": network.config.internal,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": containers,
        "Options": { "com.docker.network.bridge.name": network.config.bridge.to_string() },
        "Labels": network.config.labels.iter().map(|(k, v)| (k.clone(), json!(v))).collect::<Map<_, _>>(),
    }))
}
