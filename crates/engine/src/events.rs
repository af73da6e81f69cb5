//! What happens to containers, images, networks and volumes, as docker's events tell it.
//!
//! To note an event is one line where it happens; [`monitor::journal`] keeps them.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
pub use monitor::journal::Event;
use monitor::journal::{Happening, Journal, Subject, Use};
use types::Reference;

use crate::{
    Engine,
    container::{Container, MountSource, NetworkMode, Networking},
    error::EngineError,
    moment,
    network::Predefined,
};

/// Conditions on events. Those of one kind are alternatives, those of different kinds are all to be met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilters(BTreeMap<String, Vec<String>>);

impl EventFilters {
    /// Understands pairs of a kind and a value. As docker has it, what is of no kind that there is, is no condition.
    pub fn parse<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> EventFilters {
        let mut filters = BTreeMap::<String, Vec<String>>::new();
        for (kind, value) in pairs.into_iter().filter(|(kind, _)| KINDS.contains(kind)) {
            filters.entry(kind.to_owned()).or_default().push(value.to_owned());
        }
        EventFilters(filters)
    }

    pub fn let_through(&self, event: &Event) -> bool {
        self.0.iter().all(|(kind, values)| values.iter().any(|value| is_met(kind, value, event)))
    }
}

fn is_met(kind: &str, value: &str, event: &Event) -> bool {
    let attribute = |name: &str| event.attributes.get(name).map(String::as_str);
    match kind {
        "type" => event.kind == value,
        // What follows a colon is what came of it.
        "event" => event.action == value || event.action.split(':').next() == Some(value),
        "image" => {
            let name = match event.kind.as_str() {
                "image" => attribute("name").unwrap_or(&event.id),
                _ => attribute("image").unwrap_or_default(),
            };
            let without_tag =
                name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map(|(name, _)| name);
            name == value || without_tag == Some(value) || event.id == value
        }
        "label" => match value.split_once('=') {
            Some((key, value)) => attribute(key) == Some(value),
            None => attribute(value).is_some(),
        },
        "scope" => value == "local",
        // As docker has it: whatever begins like this, of any kind.
        _ => event.id.starts_with(value) || attribute("name").unwrap_or_default().starts_with(value),
    }
}

impl Engine {
    /// Tells `hear` of all events of a span of time, also of those to come, until it says `false` or `until` has come.
    pub fn events(
        &self,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
        filters: &EventFilters,
        mut hear: impl FnMut(&Event) -> bool,
    ) -> Result<(), EngineError> {
        let from = since.unwrap_or_else(Timestamp::now);
        let mut follower = self.journal().follow()?;
        loop {
            // Asked before the reading: what is noted until then is read.
            let is_over = until.is_some_and(|until| Timestamp::now() >= until);
            for event in follower.read()? {
                let is_meant = event.time >= from && until.is_none_or(|until| event.time <= until);
                if is_meant && filters.let_through(&event) && !hear(&event) {
                    return Ok(());
                }
            }
            if is_over {
                return Ok(());
            }
            let left = until.map(|until| until.duration_since(Timestamp::now()));
            // Not much longer, for a clock may be set.
            let left = left.map(|left| Duration::try_from(left).unwrap_or_default().min(MOST_WAIT));
            follower.wait(left)?;
        }
    }

    /// A time as users write it; see docker's `--since`.
    pub fn moment(text: &str) -> Result<Timestamp, EngineError> {
        moment::parse(text, Timestamp::now())
    }

    pub(crate) fn journal(&self) -> Journal {
        Journal::of(&self.run)
    }

    /// Notes what has just happened to a container.
    pub fn note(&self, container: &Container, action: &str, more: &[(&str, &str)]) {
        self.subject(container).note(action, more);
    }

    /// What every event of a container tells of it: image, name and labels.
    pub(crate) fn subject(&self, container: &Container) -> Subject {
        let own = [("image", &*container.config.image), ("name", &*container.name)];
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Subject {
            journal: self.journal(),
            kind: "container".to_owned(),
            id: container.id.to_string(),
            attributes: container.config.labels.iter().cloned().chain(own).collect(),
            uses: Vec::new(),
        }
    }

    /// Leaves word with a container's monitor of what to tell of it, and of the networks and volumes that it has while it runs.
    pub(crate) fn brief(&self, container: &Container, networking: &Networking) -> Result<(), EngineError> {
        let mut uses: Vec<Use> = volumes_in_use(container).collect();
        uses.extend(self.networks_in_use(container, networking)?);
        let subject = Subject { uses, ..self.subject(container) };
        subject.store(&container.directory).map_err(|error| container.file_error(error))
    }

    fn networks_in_use(
        &self,
        container: &Container,
        networking: &Networking,
    ) -> Result<Vec<Use>, EngineError> {
        let in_use = |id: String, name: &str, driver: &str| {
            let attributes = network_attributes(&container.id.to_string(), name, driver);
            let happens =
                |action: &str| Happening { action: action.to_owned(), attributes: attributes.clone() };
            Use { kind: "network".to_owned(), id, begins: happens("connect"), ends: happens("disconnect") }
        };
        let predefined = |one: Predefined| vec![in_use(one.id(), one.name(), one.driver())];
        Ok(match networking.mode {
            NetworkMode::Host => predefined(Predefined::Host),
            NetworkMode::None => predefined(Predefined::None),
            NetworkMode::Container(_) => Vec::new(),
            NetworkMode::Bridge | NetworkMode::User(_) => {
                let networks = self.networks_of(networking)?.into_iter();
                let networks = networks.map(|(_, network)| {
                    in_use(network.id.to_string(), &network.name, network.config.driver.as_str())
                });
                networks.collect()
            }
        })
    }

    /// Notes what has just happened to an image, with its labels.
    pub(crate) fn note_image(&self, labels: &BTreeMap<String, String>, action: &str, id: &str, name: &str) {
        let mut attributes = labels.clone();
        attributes.insert("name".to_owned(), name.to_owned());
        self.journal().note("image", id, action, attributes);
    }

    /// Notes that an image has come from a registry, or was given to one. As with docker, it goes by its name there.
    pub(crate) fn note_transfer(&self, image: &image::Image, action: &str, reference: &Reference) {
        let labels = &image.config.config.labels;
        self.note_image(labels, action, &reference.familiar(), &reference.familiar_name());
    }

    /// Notes that a volume was made, or is gone.
    pub(crate) fn note_volume(&self, name: &str, action: &str) {
        self.note_of("volume", name, action, &[("driver", "local")]);
    }

    /// Notes that all were removed of a kind that are of no use to anything, and what that gave back.
    pub fn note_pruned(&self, kind: &str, bytes: u64) {
        self.note_of(kind, "", "prune", &[("reclaimed", &bytes.to_string())]);
    }

    /// Notes what has just happened to an image, a network or a volume.
    pub fn note_of(&self, kind: &str, id: &str, action: &str, attributes: &[(&str, &str)]) {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.journal().note(kind, id, action, attributes.collect());
    }
}

fn network_attributes(container: &str, name: &str, driver: &str) -> BTreeMap<String, String> {
    let attributes = [("container", container), ("name", name), ("type", driver)];
    attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn volumes_in_use(container: &Container) -> impl Iterator<Item = Use> + '_ {
    container.config.mounts.iter().filter_map(|mount| {
        let MountSource::Volume(name) = &mount.source else { return None };
        let own = [("container", container.id.to_string()), ("driver", "local".to_owned())];
        let place = [
            ("destination", mount.destination.clone()),
            ("propagation", mount.propagation.clone()),
            ("read/write", (!mount.read_only).to_string()),
        ];
        let happens = |action: &str, attributes: Vec<(&str, String)>| Happening {
            action: action.to_owned(),
            attributes: attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        };
        Some(Use {
            kind: "volume".to_owned(),
            id: name.clone(),
            begins: happens("mount", own.clone().into_iter().chain(place).collect()),
            ends: happens("unmount", own.into()),
        })
    })
}

const KINDS: [&str; 14] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];
const MOST_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, id: &str, action: &str, attributes: &[(&str, &str)]) -> Event {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Event {
            time: Timestamp::UNIX_EPOCH,
            kind: kind.to_owned(),
            id: id.to_owned(),
            action: action.to_owned(),
            attributes: attributes.collect(),
        }
    }

    #[test]
    fn filters_of_one_kind_are_alternatives_and_of_different_kinds_conditions() {
        let start =
            event("container", "abc123", "start", &[("name", "web"), ("image", "nginx:1"), ("a", "b")]);
        let health = event("container", "def456", "health_status: healthy", &[("name", "db")]);
        let tag = event("image", "sha256:77", "tag", &[("name", "nginx:latest")]);
        let check = |pairs: &[(&str, &str)], expected: [bool; 3]| {
            let filters = EventFilters::parse(pairs.iter().copied());
            assert_eq!(
                [&start, &health, &tag].map(|event| filters.let_through(event)),
                expected,
                "{pairs:?}"
            );
        };
        check(&[], [true, true, true]);
        check(&[("type", "container")], [true, true, false]);
        check(&[("container", "web")], [true, false, false]);
        check(&[("container", "abc"), ("container", "db")], [true, true, false]);
        check(&[("container", "db"), ("event", "health_status")], [false, true, false]);
        check(&[("event", "start"), ("event", "tag")], [true, false, true]);
        check(&[("image", "nginx")], [true, false, true]);
        check(&[("image", "nginx:1")], [true, false, false]);
        check(&[("label", "a=b")], [true, false, false]);
        check(&[("label", "a")], [true, false, false]);
        // Whatever it is that is called so, as with docker.
        check(&[("volume", "web")], [true, false, false]);
        check(&[("plugin", "x")], [false, false, false]);
        check(&[("x", "y"), ("type", "image")], [false, false, true]);
    }
}
