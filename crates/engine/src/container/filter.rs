//! Which containers a listing is about: docker's `--filter` conditions.

use std::num::IntErrorKind;

use jiff::Timestamp;
use monitor::{Started, Status};
use regex::Regex;
use types::{Digest, Port, Protocol};

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
        // As docker has it, of what is listed of one that runs, and either of the two will do.
        let has_port = |started: &Started| {
            let on_host = |port: &Port| {
                started.publish.iter().any(|publish| {
                    publish.host_port == Some(port.number) && publish.container.protocol == port.protocol
                })
            };
            let inside = |port: &Port| {
                config.exposed.contains(port)
                    || started.publish.iter().any(|publish| publish.container == *port)
            };
            self.published.iter().flatten().any(on_host) || self.exposed.iter().flatten().any(inside)
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
            && ((self.published.is_empty() && self.exposed.is_empty())
                || status.started().is_some_and(has_port))
            && self.is_task != Some(true)
    }
}

/// Whether `text` is what is wanted, or matches it as a regular expression. What is none matches nothing else.
fn matches(wanted: &str, text: &str) -> bool {
    wanted == text || Regex::new(wanted).is_ok_and(|expression| expression.is_match(text))
}

/// The ports of `80`, `80/udp` or `8000-8010/tcp`. As docker has it, a word that is no protocol is one that no port has, and
/// what follows a second `-` or `/` is nothing.
fn ports(kind: &str, value: &str) -> Result<Vec<Port>, EngineError> {
    let refuse =
        |why: String| Err(EngineError::Invalid(format!("error while looking up for {kind} {value}: {why}")));
    let mut parts = value.split('/');
    let (numbers, protocol) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("tcp"));
    if numbers.is_empty() {
        return refuse("Empty string specified for ports.".to_owned());
    }
    let mut ends = numbers.split('-');
    let first = ends.next().unwrap_or_default();
    let number = |text: &str| match text.parse::<u16>() {
        Ok(number) if !text.starts_with('+') => Ok(number),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow && !text.starts_with('+') => {
            Err(format!("strconv.ParseUint: parsing {text:?}: value out of range"))
        }
        _ => Err(format!("strconv.ParseUint: parsing {text:?}: invalid syntax")),
    };
    let (first, last) = match (number(first), ends.next().map_or_else(|| number(first), number)) {
        (Ok(first), Ok(last)) => (first, last),
        (Err(why), _) | (_, Err(why)) => return refuse(why),
    };
    if last < first {
        return refuse(format!("Invalid range specified for the Port: {numbers}"));
    }
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Ok(Vec::new()),
    };
    Ok((first..=last).map(|number| Port { number, protocol }).collect())
}

const STATUSES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
const HEALTHS: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

#[cfg(test)]
mod tests {
    use super::{matches, ports};

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

    #[test]
    fn ports_are_read_as_docker_reads_them() {
        let check = |value: &str, expected: &str| {
            let text = match ports("expose", value) {
                Ok(ports) => ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
                Err(error) => error.to_string(),
            };
            assert_eq!(text, expected, "{value}");
        };
        check("80", "80/tcp");
        check("80-82/UDP", "80/udp 81/udp 82/udp");
        check("8-9-10", "8/tcp 9/tcp");
        check("80/sctp/x", "80/sctp");
        check("80/foo", "");
        let refused = |value: &str, why: &str| {
            check(value, &format!("error while looking up for expose {value}: {why}"));
        };
        refused("", "Empty string specified for ports.");
        refused("/tcp", "Empty string specified for ports.");
        refused("90-80", "Invalid range specified for the Port: 90-80");
        refused("x", "strconv.ParseUint: parsing \"x\": invalid syntax");
        refused("80-x", "strconv.ParseUint: parsing \"x\": invalid syntax");
        refused("+80", "strconv.ParseUint: parsing \"+80\": invalid syntax");
        refused("99999-100000", "strconv.ParseUint: parsing \"99999\": value out of range");
    }
}
