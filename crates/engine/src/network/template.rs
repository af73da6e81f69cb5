//! Networks that are nothing but a configuration for others: `--config-only` makes one, `--config-from` takes it over.

use std::net::IpAddr;

use ipnet::IpNet;
use network::HostLock;
use types::{NetworkId, NetworkName};

use super::{Network, NetworkRequest, PREDEFINED, create};
use crate::{
    Engine,
    error::EngineError,
    state::{Durability, TemplateRow},
};

/// What networks can be made like. Nothing of it exists on the host, and no container can be in it.
#[derive(Debug, Clone)]
pub struct NetworkTemplate {
    pub id: NetworkId,
    pub name: NetworkName,
    pub created: jiff::Timestamp,
    pub request: NetworkRequest,
}

/// A subnet that is asked for, with what is asked for of it.
#[derive(Debug, Clone)]
pub struct AskedPool {
    pub subnet: String,
    pub range: Option<String>,
    pub gateway: Option<IpAddr>,
    pub auxiliary: Vec<(String, IpAddr)>,
}

impl NetworkTemplate {
    /// The subnets of networks that are made like this.
    pub fn pools(&self) -> Vec<AskedPool> {
        let NetworkRequest { subnets, ranges, gateways, auxiliary, .. } = &self.request;
        let parsed = |text: &String| text.parse::<IpNet>().ok();
        let pool = |subnet: &String| {
            let is_in = |address: &IpAddr| parsed(subnet).is_some_and(|subnet| subnet.contains(address));
            let has_range = |range: &&String| parsed(range).is_some_and(|range| is_in(&range.addr()));
            AskedPool {
                subnet: subnet.clone(),
                range: ranges.iter().find(has_range).cloned(),
                gateway: gateways.iter().find(|gateway| is_in(gateway)).copied(),
                auxiliary: auxiliary.iter().filter(|(_, address)| is_in(address)).cloned().collect(),
            }
        };
        subnets.iter().map(pool).collect()
    }

    fn of(row: TemplateRow) -> NetworkTemplate {
        let TemplateRow { id, name, created, request } = row;
        NetworkTemplate { id, name, created: crate::timestamp(created), request }
    }
}

impl Engine {
    /// Makes a network that is only a configuration.
    pub fn create_network_template(&self, request: NetworkRequest) -> Result<NetworkTemplate, EngineError> {
        if PREDEFINED.contains(&request.name.as_str()) {
            return Err(EngineError::PredefinedNetworkMade(request.name));
        }
        let name: NetworkName = request.name.parse()?;
        if request.ingress || request.internal || request.attachable || request.scope.is_some() {
            return Err(EngineError::Invalid(OPERATORS_FIELDS.to_owned()));
        }
        if request.like.is_some() {
            let text = "a configuration network cannot depend on another configuration network";
            return Err(EngineError::Invalid(text.to_owned()));
        }
        create::check_addresses(&request)?;
        // Nobody else is to take the name meanwhile.
        let _lock = HostLock::acquire()?;
        self.check_network_name(&name)?;
        let row = TemplateRow { id: crate::names::random_id()?, name, created: crate::now(), request };
        self.state.write(Durability::Synced, |state| state.insert_template(&row))?;
        let template = NetworkTemplate::of(row);
        self.note_template(&template, "create");
        Ok(template)
    }

    /// The configuration with this name, id, or first digits of an id.
    pub fn network_template(&self, reference: &str) -> Result<Option<NetworkTemplate>, EngineError> {
        let all = self.network_templates()?;
        if let Some(named) = all.iter().find(|template| *template.name == *reference) {
            return Ok(Some(named.clone()));
        }
        let mut matching = all.into_iter().filter(|template| template.id.to_string().starts_with(reference));
        match (matching.next(), matching.next()) {
            (Some(template), None) if !reference.is_empty() => Ok(Some(template)),
            _ => Ok(None),
        }
    }

    /// All configurations.
    pub fn network_templates(&self) -> Result<Vec<NetworkTemplate>, EngineError> {
        Ok(self.state.templates()?.into_iter().map(NetworkTemplate::of).collect())
    }

    /// What is asked for, once the configuration is filled in that it is to be like.
    pub(super) fn filled_in(&self, request: NetworkRequest) -> Result<NetworkRequest, EngineError> {
        let Some(like) = &request.like else { return Ok(request) };
        let has_own = request.ipv6 == Some(true)
            || !request.labels.is_empty()
            || !request.ipam_options.is_empty()
            || !request.subnets.is_empty();
        let refuse = |text: &str| Err(EngineError::Invalid(text.to_owned()));
        if has_own {
            return refuse(
                "user specified configurations are not supported if the network depends on a configuration network",
            );
        }
        if !request.options.is_empty() {
            return refuse(
                "network driver options are not supported if the network depends on a configuration network",
            );
        }
        let Some(template) = self.network_templates()?.into_iter().find(|one| *one.name == **like) else {
            return refuse(&format!("configuration network {like:?} does not exist"));
        };
        let NetworkRequest { name, driver, internal, attachable, scope, like, .. } = request;
        Ok(NetworkRequest { name, driver, internal, attachable, scope, like, ..template.request })
    }

    /// Removes a configuration that no network is like.
    pub(super) fn remove_template(&self, template: &NetworkTemplate) -> Result<(), EngineError> {
        let _lock = HostLock::acquire()?;
        self.check_template_unused(template)?;
        self.state.remove(Durability::Synced, |state| state.delete_template(&template.id))?;
        self.note_template(template, "destroy");
        Ok(())
    }

    /// Fails if a network is like `template`.
    pub(crate) fn check_template_unused(&self, template: &NetworkTemplate) -> Result<(), EngineError> {
        let is_like = |network: &Network| network.config.like.as_deref() == Some(&*template.name);
        if self.networks()?.iter().any(is_like) {
            return Err(EngineError::Invalid(format!(
                "error while removing network: configuration network {:?} is in use",
                &*template.name
            )));
        }
        Ok(())
    }

    fn note_template(&self, template: &NetworkTemplate, action: &str) {
        let attributes = [("name", &*template.name), ("type", "null")];
        self.note_of("network", &template.id.to_string(), action, &attributes);
    }
}

const OPERATORS_FIELDS: &str = "configuration network can only contain network specific fields. Network operator fields \
                                like [ ingress | internal | attachable | scope ] are not supported.";
