//! What happens to containers, images, networks and volumes, as docker's events tell it.
//!
//! To note an event is one line where it happens; [`monitor::journal`] keeps them.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
pub use monitor::journal::Event;
use monitor::journal::{Journal, Subject};

use crate::{Engine, container::Container, error::EngineError, moment};

/// Conditions on events. Those of one kind are alternatives, those of different kinds are all to be met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilters(BTreeMap<String, Vec<String>>);

impl EventFilters {
    /// Understands pairs of a kind and a value.
    pub fn parse<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<EventFilters, EngineError> {
        let mut filters = BTreeMap::<String, Vec<String>>::new();
        for (kind, value) in pairs {
            if !KINDS.contains(&kind) {
                return Err(EngineError::Invalid(format!("invalid filter '{kind}'")));
            }
            filters.entry(kind.to_owned()).or_default().push(value.to_owned());
        }
        Ok(EventFilters(filters))
    }

    pub fn let_through(&self, event: &Event) -> bool {
        self.0.iter().all(|(kind, values)| values.iter().any(|value| is_met(kind, value, event)))
    }
}

fn is_met(kind: &str, value: &str, event: &Event) -> bool {
    let attribute = |name: &str| event.attributes.get(name).map(String::as_str);
    let is_called =
        |name: &str| event.id.starts_with(value) || attribute(name).is_some_and(|n| n.starts_with(value));
    match kind {
        "type" => event.kind == value,
        // What follows a colon is what came of it.
        "event" => event.action == value || event.action.split(':').next() == Some(value),
        "container" => event.kind == "container" && is_called("name"),
        "network" => event.kind == "network" && is_called("name"),
        "volume" => event.kind == "volume" && event.id.starts_with(value),
        "image" => {
            let name = match event.kind.as_str() {
                "image" => attribute("name").unwrap_or(&event.id),
                _ => attribute("image").unwrap_or_default(),
            };
            let without_tag =
                name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map(|(name, _)| name);
            name == value
                || without_tag == Some(value)
                || (event.kind == "image" && event.id.starts_with(value))
        }
        "label" => match value.split_once('=') {
            Some((key, value)) => attribute(key) == Some(value),
            None => attribute(value).is_some(),
        },
        "scope" => value == "local",
        // Of things that there are none of here.
        _ => false,
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
        }
    }

    /// Notes what has just happened to an image, a network or a volume.
    pub fn note_of(&self, kind: &str, id: &str, action: &str, attributes: &[(&str, &str)]) {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.journal().note(kind, id, action, attributes.collect());
    }
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
            let filters = EventFilters::parse(pairs.iter().copied()).unwrap();
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
        check(&[("plugin", "x")], [false, false, false]);
        assert_eq!(EventFilters::parse([("x", "y")]).unwrap_err().to_string(), "invalid filter 'x'");
    }
}
