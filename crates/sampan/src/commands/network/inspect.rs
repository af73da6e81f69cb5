//! `network inspect`: everything about networks, as docker's API has it.

use std::process::ExitCode;

use clap::Args;
use engine::{
    Engine, EngineError, Status,
    container::{Container, Membership},
    network::{DEFAULT, NetworkTemplate, Predefined},
};
use jiff::Timestamp;
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
    if let Some(predefined) = Predefined::find(reference) {
        return describe_predefined(engine, predefined);
    }
    if let Some(template) = engine.network_template(reference)? {
        return Ok(describe_template(&template));
    }
    let network = engine.network(reference)?;
    let config = &network.config;
    let prefix = config.subnet.prefix_len();
    let containers: Map<String, Value> = engine
        .endpoints(&network)?
        .into_iter()
        .map(|endpoint| {
            let ipv6 = endpoint.address6.zip(config.ipv6.as_ref());
            let described = json!({
                "Name": endpoint.name,
                "EndpointID": network.endpoint_id(&endpoint.container),
                "MacAddress": endpoint.mac.to_string(),
                "IPv4Address": format!("{}/{prefix}", endpoint.address),
                "IPv6Address": ipv6
                    .map(|(address, pool)| format!("{address}/{}", pool.subnet.prefix_len()))
                    .unwrap_or_default(),
            });
            (endpoint.container.to_string(), described)
        })
        .collect();
    let auxiliary = |ipv6: bool| {
        let of_family = config.auxiliary.iter().filter(|(_, address)| address.is_ipv6() == ipv6);
        of_family.map(|(name, address)| (name.clone(), json!(address.to_string()))).collect::<Map<_, _>>()
    };
    // Of a subnet that the user named, docker tells what he has said of it.
    let shown = |is_named: bool| is_named || !config.chosen_by_user;
    let mut pools = vec![pool(
        config.subnet.to_string(),
        config.range.map(|range| range.to_string()),
        shown(config.names_gateway).then(|| config.gateway.to_string()),
        auxiliary(false),
    )];
    pools.extend(config.ipv6.as_ref().map(|ipv6| {
        let range = ipv6.range.map(|range| range.to_string());
        let gateway = shown(ipv6.names_gateway).then(|| ipv6.gateway.to_string());
        pool(ipv6.subnet.to_string(), range, gateway, auxiliary(true))
    }));
    let is_default = *network.name == *DEFAULT;
    let mut options: Map<String, Value> =
        config.options.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    if is_default {
        options.insert("com.docker.network.bridge.default_bridge".to_owned(), json!("true"));
        options.insert("com.docker.network.bridge.enable_icc".to_owned(), json!("true"));
        options.insert("com.docker.network.bridge.enable_ip_masquerade".to_owned(), json!("true"));
        options.insert("com.docker.network.bridge.host_binding_ipv4".to_owned(), json!("0.0.0.0"));
        options.insert("com.docker.network.bridge.name".to_owned(), json!(&*config.bridge));
        options.insert("com.docker.network.driver.mtu".to_owned(), json!("1500"));
    }
    Ok(json!({
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": config.scope(),
        "Driver": config.driver.as_str(),
        "EnableIPv4": true,
        "EnableIPv6": config.ipv6.is_some(),
        "IPAM": {
            "Driver": "default",
            "Options": if is_default { Value::Null } else { map(&config.ipam_options) },
            "Config": pools,
        },
        "Internal": config.internal,
        "Attachable": config.attachable,
        "Ingress": false,
        "ConfigFrom": { "Network": config.like.as_deref().unwrap_or_default() },
        "ConfigOnly": false,
        "Containers": containers,
        "Options": options,
        "Labels": map(&config.labels),
    }))
}

/// A network that is only a configuration for others.
fn describe_template(template: &NetworkTemplate) -> Value {
    let request = &template.request;
    let pools = template.pools().into_iter().map(|asked| {
        let auxiliary = asked.auxiliary.into_iter().map(|(name, at)| (name, json!(at.to_string())));
        let gateway = asked.gateway.map(|gateway| gateway.to_string());
        pool(asked.subnet, asked.range, gateway, auxiliary.collect())
    });
    json!({
        "Name": template.name,
        "Id": template.id,
        "Created": template.created,
        "Scope": "local",
        "Driver": Predefined::None.driver(),
        "EnableIPv4": true,
        "EnableIPv6": request.ipv6 == Some(true),
        "IPAM": {
            "Driver": "default",
            "Options": map(&request.ipam_options),
            "Config": pools.collect::<Vec<_>>(),
        },
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": true,
        "Containers": {},
        "Options": map(&request.options),
        "Labels": map(&request.labels),
    })
}

fn map(pairs: &[(String, String)]) -> Value {
    Value::Object(pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect())
}

fn pool(
    subnet: String,
    range: Option<String>,
    gateway: Option<String>,
    auxiliary: Map<String, Value>,
) -> Value {
    let mut pool = Map::new();
    pool.insert("Subnet".to_owned(), json!(subnet));
    pool.extend(range.map(|range| ("IPRange".to_owned(), json!(range))));
    pool.extend(gateway.map(|gateway| ("Gateway".to_owned(), json!(gateway))));
    if !auxiliary.is_empty() {
        pool.insert("AuxiliaryAddresses".to_owned(), Value::Object(auxiliary));
    }
    Value::Object(pool)
}

/// A network that nobody makes: those are in it that have the host's network, or none.
fn describe_predefined(engine: &Engine, predefined: Predefined) -> Result<Value, EngineError> {
    let mut containers = Map::new();
    for container in engine.containers()? {
        let is_in = container.config.network.names() == [predefined.name()];
        if is_in && container.status()?.is_running() {
            let described = json!({
                "Name": container.name,
                "EndpointID": predefined_endpoint(predefined, &container),
                "MacAddress": "",
                "IPv4Address": "",
                "IPv6Address": "",
            });
            containers.insert(container.id.to_string(), described);
        }
    }
    Ok(json!({
        "Name": predefined.name(),
        "Id": predefined.id(),
        "Created": Timestamp::UNIX_EPOCH,
        "Scope": "local",
        "Driver": predefined.driver(),
        "EnableIPv4": true,
        "EnableIPv6": false,
        "IPAM": { "Driver": "default", "Options": null, "Config": null },
        "Internal": false,
        "Attachable": false,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": containers,
        "Options": {},
        "Labels": {},
    }))
}

fn predefined_endpoint(predefined: Predefined, container: &Container) -> String {
    types::Digest::of(format!("{} {}", predefined.name(), container.id).as_bytes()).hex()
}

/// A container's place in a network of its, as docker's API describes it.
pub fn endpoint(
    engine: &Engine,
    container: &Container,
    status: &Status,
    name: &str,
) -> Result<Value, EngineError> {
    let mut described = no_endpoint();
    let is_running = status.is_running();
    let Some(Membership { settings, .. }) = container.config.network.membership(name) else {
        if let Some(predefined) = Predefined::find(name).filter(|_| is_running) {
            described["NetworkID"] = json!(predefined.id());
            described["EndpointID"] = json!(predefined_endpoint(predefined, container));
        }
        return Ok(described);
    };
    if let Some(ip) = settings.ip {
        described["IPAMConfig"]["IPv4Address"] = json!(ip.to_string());
    }
    if let Some(ip) = settings.ip6 {
        described["IPAMConfig"]["IPv6Address"] = json!(ip.to_string());
    }
    if !settings.link_local.is_empty() {
        let addresses: Vec<_> = settings.link_local.iter().map(ToString::to_string).collect();
        described["IPAMConfig"]["LinkLocalIPs"] = json!(addresses);
    }
    if !settings.aliases.is_empty() {
        described["Aliases"] = json!(settings.aliases);
    }
    if !settings.links.is_empty() && name != DEFAULT {
        let links: Vec<_> = settings.links.iter().map(|(name, alias)| format!("{name}:{alias}")).collect();
        described["Links"] = json!(links);
    }
    if !settings.driver_options.is_empty() {
        let options = settings.driver_options.iter().map(|(key, value)| (key.clone(), json!(value)));
        described["DriverOpts"] = Value::Object(options.collect());
    }
    described["GwPriority"] = json!(settings.gateway_priority);
    if let Some(mac) = settings.mac {
        described["MacAddress"] = json!(mac.to_string());
    }
    if name != DEFAULT {
        described["DNSNames"] = json!(container.names_in(settings));
    }
    // A network may be gone while a container that was in it is not.
    let network = match engine.network(name) {
        Err(EngineError::NoNetwork(_)) => return Ok(described),
        network => network?,
    };
    if !is_running {
        return Ok(described);
    }
    described["NetworkID"] = json!(network.id);
    let endpoints = engine.endpoints(&network)?;
    let Some(endpoint) = endpoints.into_iter().find(|endpoint| endpoint.container == container.id) else {
        return Ok(described);
    };
    described["EndpointID"] = json!(network.endpoint_id(&container.id));
    described["Gateway"] = json!(network.config.gateway.to_string());
    described["IPAddress"] = json!(endpoint.address.to_string());
    described["IPPrefixLen"] = json!(network.config.subnet.prefix_len());
    described["MacAddress"] = json!(endpoint.mac.to_string());
    if let Some((address, pool)) = endpoint.address6.zip(network.config.ipv6.as_ref()) {
        described["IPv6Gateway"] = json!(pool.gateway.to_string());
        described["GlobalIPv6Address"] = json!(address.to_string());
        described["GlobalIPv6PrefixLen"] = json!(pool.subnet.prefix_len());
    }
    Ok(described)
}

/// What is said of a place that nobody has.
pub fn no_endpoint() -> Value {
    json!({
        "IPAMConfig": null,
        "Links": null,
        "Aliases": null,
        "MacAddress": "",
        "DriverOpts": null,
        "GwPriority": 0,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": null,
    })
}
