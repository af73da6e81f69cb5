//! Which containers a listing is about: docker's `--filter` conditions.

use jiff::Timestamp;
use monitor::Status;
use regex::Regex;
use types::{Digest, Port};

use super::{config::MountSource, status::Container};
use crate::{Engine, error::EngineError};

/// Conditions of several kinds. Those of one kind are alternatives, but for labels, all of which have to be there; those of
/// different kinds have to be met together.
#[derive(Debug, Default)]
pub struct ContainerFilters {
    ids: Vec<String>,
    names: Vec<String>,
    labels: Vec<String>,
    statuses: Vec<String>,
    healths: Vec<String>,
    exit_codes: Vec<i64>,
    /// What was asked for, and the image it means if there is one.
    ancestors: Vec<(String, Option<Digest>)>,
    /// Made before all of these, and after all of those.
    before: Vec<Timestamp>,
    since: Vec<Timestamp>,
    volumes: Vec<String>,
    networks: Vec<String>,
    published: Vec<Vec<Port>>,
    exposed: Vec<Vec<Port>>,
    is_task: Option<bool>,
}

impl ContainerFilters {
    /// Understands pairs of a kind and a value.
    pub fn parse<'a>(
        engine: &Engine,
        conditions: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<ContainerFilters, EngineError> {
        let mut filters = ContainerFilters::default();
        for (kind, value) in conditions {
            let invalid = |why: &str| EngineError::Invalid(format!("invalid filter '{kind}={value}': {why}"));
            let owned = value.to_owned();
            match kind {
                "id" => filters.ids.push(owned),
                "name" => filters.names.push(owned),
                "label" => filters.labels.push(owned),
                "status" if STATUSES.contains(&value) => filters.statuses.push(owned),
                "status" => {
                    let all = STATUSES.join(", ");
                    return Err(invalid(&format!("invalid value for state ({value}): must be one of {all}")));
                }
                "health" if HEALTHS.contains(&value) => filters.healths.push(owned),
                "health" => {
                    let all = HEALTHS.join(", ");
                    return Err(invalid(&format!(
                        "invalid value for health ({value}): must be one of {all}"
                    )));
                }
                "exited" => filters.exit_codes.push(
                    value
                        .parse()
                        .map_err(|_| invalid(&format!("strconv.Atoi: parsing {value:?}: invalid syntax")))?,
                ),
                "ancestor" => {
                    let image = match engine.image(value) {
                        Ok(image) => Some(image.id),
                        Err(EngineError::NoImage(_) | EngineError::Invalid(_)) => None,
                        Err(error) => return Err(error),
                    };
                    filters.ancestors.push((owned, image));
                }
                "before" => filters.before.push(engine.container(value)?.created),
                "since" => filters.since.push(engine.container(value)?.created),
                "volume" => filters.volumes.push(owned),
                "network" => filters.networks.push(owned),
                "publish" => filters.published.push(ports(kind, value)?),
                "expose" => filters.exposed.push(ports(kind, value)?),
                "is-task" => {
                    filters.is_task = Some(match value {
                        "1" | "true" => true,
                        "0" | "false" => false,
                        _ => return Err(EngineError::Invalid(format!("invalid filter 'is-task=[{value}]'"))),
                    });
                }
                _ => return Err(EngineError::Invalid(format!("invalid filter '{kind}'"))),
            }
        }
        Ok(filters)
    }

    /// Whether they ask for something that only containers have which do not run.
    pub fn are_of_every_state(&self) -> bool {
        !self.statuses.is_empty()
    }

    /// Whether a container meets them.
    pub fn let_through(&self, container: &Container, status: &Status) -> bool {
        let config = &container.config;
        let mounts = &config.mounts;
        let any = |wanted: &[String], matches: &dyn Fn(&str) -> bool| {
            wanted.is_empty() || wanted.iter().any(|wanted| matches(wanted))
        };
        let id = container.id.to_string();
        let named = |wanted: &str| {
            matches(wanted, &container.name) || matches(wanted, &format!("/{}", container.name))
        };
        let mounted = |wanted: &str| {
            mounts.iter().any(|mount| {
                let source = match &mount.source {
                    MountSource::Bind(path) => path.to_string_lossy().into_owned(),
                    MountSource::Volume(name) => name.clone(),
                    MountSource::Tmpfs(_) | MountSource::Image { .. } => return false,
                };
                mount.destination == wanted || source == wanted
            })
        };
        let has_label = |wanted: &String| {
            config.labels.iter().any(|(key, value)| match wanted.split_once('=') {
                Some((name, exact)) => key == name && value == exact,
                None => key == wanted,
            })
        };
        // One whose state cannot be read has none that anybody could ask for.
        let health = match self.healths.is_empty() {
            true => None,
            false => container.health().ok().flatten(),
        };
        let health = health.map_or("none", |health| health.state.word());
        let exited = match status {
            Status::Exited(ended) if ended.started.is_some() => Some(i64::from(ended.code)),
            _ => None,
        };
        let is_of = |(text, image): &(String, Option<Digest>)| {
            *image == Some(config.image_id) || (image.is_none() && config.image == *text)
        };
        let on_host = |port: &Port| {
            let published = status.started().map_or(&config.publish, |started| &started.publish);
            published.iter().any(|publish| {
                publish.host_port == Some(port.number) && publish.container.protocol == port.protocol
            })
        };
        any(&self.ids, &|wanted| matches(wanted, &id))
            && any(&self.names, &named)
            && self.labels.iter().all(has_label)
            && any(&self.statuses, &|wanted| status.word() == wanted)
            && any(&self.healths, &|wanted| health == wanted)
            && (self.exit_codes.is_empty() || exited.is_some_and(|code| self.exit_codes.contains(&code)))
            && (self.ancestors.is_empty() || self.ancestors.iter().any(is_of))
            && self.before.iter().all(|time| container.created < *time)
            && self.since.iter().all(|time| container.created > *time)
            && any(&self.volumes, &mounted)
            && any(&self.networks, &|wanted| config.network.names().contains(&wanted))
            && (self.published.is_empty() || self.published.iter().flatten().any(on_host))
            && (self.exposed.is_empty()
                || self.exposed.iter().flatten().any(|port| config.exposed.contains(port)))
            && self.is_task != Some(true)
    }
}

/// Whether `text` is what is wanted, or matches it as a regular expression. What is none matches nothing else.
fn matches(wanted: &str, text: &str) -> bool {
    wanted == text || Regex::new(wanted).is_ok_and(|expression| expression.is_match(text))
}

fn ports(kind: &str, value: &str) -> Result<Vec<Port>, EngineError> {
    Port::parse_range(value).map_err(|_| {
        let number = value.split(['/', '-']).next().unwrap_or_default();
        EngineError::Invalid(format!(
            "error while looking up for {kind} {value}: strconv.ParseUint: parsing {number:?}: invalid syntax"
        ))
    })
}

const STATUSES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTHS: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn names_are_found_by_expression() {
        for (wanted, name, expected) in [
            ("e", "web", true),
            ("^e", "web", false),
            ("^/?web$", "/web", true),
            ("w.b", "web", true),
            ("[", "web", false),
            ("[", "[", true),
        ] {
            assert_eq!(matches(wanted, name), expected, "{wanted} {name}");
        }
    }
}
