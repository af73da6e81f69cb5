//! Which networks are meant: the conditions of `network ls --filter` and `network prune --filter`.

use jiff::Timestamp;

use super::{DEFAULT, LOCAL, Predefined, create::boolean};
use crate::{Engine, error::EngineError, moment};

/// Conditions on networks. Of one kind one is enough, but labels are all to be met.
#[derive(Debug, Clone, Default)]
pub struct NetworkFilters {
    drivers: Vec<String>,
    ids: Vec<String>,
    names: Vec<String>,
    scopes: Vec<String>,
    labels: Vec<(String, bool)>,
    /// Whether the network is to be one that a user made.
    custom: Option<bool>,
    dangling: Option<bool>,
    until: Option<Timestamp>,
}

/// What the conditions are about.
#[derive(Debug, Clone)]
pub struct Listed {
    pub id: String,
    pub name: String,
    pub driver: String,
    pub scope: String,
    pub created: Timestamp,
    pub internal: bool,
    pub ipv6: bool,
    pub labels: Vec<(String, String)>,
    /// Whether it is only a configuration for others.
    pub is_template: bool,
}

impl NetworkFilters {
    /// Those that select what is listed.
    pub const OF_LISTINGS: &'static [&'static str] =
        &["dangling", "driver", "id", "label", "name", "scope", "type"];
    /// Those that select what is removed.
    pub const OF_PRUNING: &'static [&'static str] = &["label", "label!", "until"];

    /// Understands pairs of a kind, which must be one of `kinds`, and a value. Times that are a while ago are so
    /// before `now`.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
        kinds: &[&str],
        now: Timestamp,
    ) -> Result<NetworkFilters, EngineError> {
        let mut filters = NetworkFilters::default();
        for (kind, value) in pairs {
            let owned = value.to_owned();
            let invalid = || EngineError::Invalid(format!("invalid filter '{kind}={value}'"));
            match kind {
                _ if !kinds.contains(&kind) => {
                    return Err(EngineError::Invalid(format!("invalid filter '{kind}'")));
                }
                "driver" => filters.drivers.push(owned),
                "id" => filters.ids.push(owned),
                "name" => filters.names.push(owned),
                "scope" => filters.scopes.push(owned),
                "label" => filters.labels.push((owned, true)),
                "label!" => filters.labels.push((owned, false)),
                "type" => {
                    filters.custom = match value {
                        "custom" => Some(true),
                        "builtin" => Some(false),
                        _ => {
                            return Err(EngineError::Invalid(format!("invalid filter: 'type'='{value}'")));
                        }
                    }
                }
                "dangling" => filters.dangling = Some(boolean(value).ok_or_else(invalid)?),
                _ => filters.until = Some(moment::parse(value, now)?),
            }
        }
        Ok(filters)
    }

    fn let_pass(&self, network: &Listed) -> bool {
        let any = |wanted: &[String], meets: &dyn Fn(&str) -> bool| {
            wanted.is_empty() || wanted.iter().any(|wanted| meets(wanted))
        };
        let has = |label: &str| {
            network.labels.iter().any(|(key, value)| match label.split_once('=') {
                Some((wanted, wanted_value)) => key == wanted && value == wanted_value,
                None => key == label,
            })
        };
        let is_custom = Predefined::find(&network.name).is_none() && network.name != DEFAULT;
        any(&self.drivers, &|driver| network.driver == driver)
            && any(&self.ids, &|id| network.id.starts_with(id))
            && any(&self.names, &|part| network.name.contains(part))
            && any(&self.scopes, &|scope| scope == network.scope)
            && self.labels.iter().all(|(label, wanted)| has(label) == *wanted)
            && self.custom.is_none_or(|custom| custom == is_custom)
            && self.until.is_none_or(|until| network.created < until)
    }
}

impl Engine {
    /// All networks that `filters` let pass, by name; also those that nobody makes.
    pub fn list_networks(&self, filters: &NetworkFilters) -> Result<Vec<Listed>, EngineError> {
        let mut listed = Vec::new();
        let started = Timestamp::UNIX_EPOCH;
        for one in Predefined::ALL {
            listed.push(Listed {
                id: one.id(),
                name: one.name().to_owned(),
                driver: one.driver().to_owned(),
                scope: LOCAL.to_owned(),
                created: started,
                internal: false,
                ipv6: false,
                labels: Vec::new(),
                is_template: false,
            });
        }
        for network in self.networks()? {
            listed.push(Listed {
                id: network.id.to_string(),
                name: network.name.to_string(),
                driver: network.config.driver.to_string(),
                scope: network.config.scope().to_owned(),
                created: network.created,
                internal: network.config.internal,
                ipv6: network.config.ipv6.is_some(),
                labels: network.config.labels,
                is_template: false,
            });
        }
        for template in self.network_templates()? {
            listed.push(Listed {
                id: template.id.to_string(),
                name: template.name.to_string(),
                driver: Predefined::None.driver().to_owned(),
                scope: LOCAL.to_owned(),
                created: template.created,
                internal: false,
                ipv6: template.request.ipv6 == Some(true),
                labels: template.request.labels,
                is_template: true,
            });
        }
        listed.retain(|network| filters.let_pass(network));
        if let Some(wanted) = filters.dangling {
            let mut kept = Vec::new();
            for network in listed {
                if self.is_dangling(&network)? == wanted {
                    kept.push(network);
                }
            }
            listed = kept;
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// Whether a network that a user made has nobody in it.
    fn is_dangling(&self, network: &Listed) -> Result<bool, EngineError> {
        if Predefined::find(&network.name).is_some() || network.name == DEFAULT {
            return Ok(false);
        }
        if network.is_template {
            return Ok(true);
        }
        Ok(self.endpoints(&self.network(&network.id)?)?.is_empty())
    }

    /// The networks that are meant, that users made and that nobody is in.
    pub(crate) fn unneeded_networks(&self, filters: &NetworkFilters) -> Result<Vec<Listed>, EngineError> {
        let filters = NetworkFilters { custom: Some(true), dangling: Some(true), ..filters.clone() };
        let mut networks = self.list_networks(&filters)?;
        networks.retain(|network| !network.is_template);
        Ok(networks)
    }

    /// Removes the networks that are meant, that users made and that nobody is in; their names.
    pub fn prune_networks(&self, filters: &NetworkFilters) -> Result<Vec<String>, EngineError> {
        let mut removed = Vec::new();
        for network in self.unneeded_networks(filters)? {
            match self.remove_network(&network.id) {
                Ok(()) => removed.push(network.name),
                // Somebody has just joined it, or removed it.
                Err(EngineError::NetworkInUse { .. } | EngineError::NoNetwork(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.note_pruned("network", 0);
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filters: &[(&str, &str)], expected: bool) {
        let network = Listed {
            id: "abc123".to_owned(),
            name: "blue".to_owned(),
            driver: "bridge".to_owned(),
            scope: LOCAL.to_owned(),
            created: Timestamp::UNIX_EPOCH,
            internal: false,
            ipv6: false,
            labels: vec![("tier".to_owned(), "web".to_owned())],
            is_template: false,
        };
        let pairs = filters.iter().copied();
        let filters = NetworkFilters::parse(pairs, NetworkFilters::OF_LISTINGS, Timestamp::UNIX_EPOCH);
        assert_eq!(filters.expect("valid").let_pass(&network), expected);
    }

    #[test]
    fn of_one_kind_one_condition_is_enough_and_labels_are_all_to_be_met() {
        check(&[], true);
        check(&[("name", "lu")], true);
        check(&[("name", "red"), ("name", "blue")], true);
        check(&[("id", "bc1")], false);
        check(&[("label", "tier"), ("label", "tier=web")], true);
        check(&[("label", "tier"), ("label", "tier=db")], false);
        check(&[("type", "builtin")], false);
        check(&[("driver", "host")], false);
        check(&[("scope", "local"), ("type", "custom")], true);
    }

    #[test]
    fn a_condition_nobody_knows_is_refused() {
        let parse = |pair| NetworkFilters::parse([pair], NetworkFilters::OF_LISTINGS, Timestamp::UNIX_EPOCH);
        assert_eq!(parse(("colour", "x")).unwrap_err().to_string(), "invalid filter 'colour'");
        assert_eq!(parse(("type", "x")).unwrap_err().to_string(), "invalid filter: 'type'='x'");
    }
}
