//! What there has to be, by what was acknowledged.

use std::{collections::BTreeMap, fmt};

use testkit::vm::Machine;

use super::round::Step;

#[derive(Default)]
pub struct World {
    things: BTreeMap<Thing, Known>,
    /// What was done last, as far as it was heard of.
    said: Vec<String>,
}

/// Something that commands make and remove.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    pub kind: Kind,
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Container,
    Image,
    Volume,
    Network,
    /// An image in the registry.
    Pushed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// A command that has made it has succeeded.
    Made,
    Removed,
    /// A command that makes or removes it has begun.
    Open,
    /// It was found after such a command had been interrupted.
    Found,
}

impl World {
    pub fn begin(&mut self, step: &Step) {
        self.said.push(step.command.clone());
        let things = step.makes.iter().chain(&step.removes).cloned();
        self.things.extend(things.map(|thing| (thing, Known::Open)));
    }

    pub fn end(&mut self, step: &Step) {
        self.things.extend(step.makes.iter().cloned().map(|thing| (thing, Known::Made)));
        self.things.extend(step.removes.iter().cloned().map(|thing| (thing, Known::Removed)));
    }

    /// What a machine says besides.
    pub fn hear(&mut self, line: &str) {
        self.said.push(line.to_owned());
    }

    /// What was done and said last.
    pub fn told(&self) -> String {
        format!("  {}", self.said[self.said.len().saturating_sub(6)..].join("\n  "))
    }

    /// What there is.
    pub fn left(&self) -> impl Iterator<Item = &Thing> {
        self.things.iter().filter(|(_, known)| known.is_there()).map(|(thing, _)| thing)
    }

    /// What in a machine is not as it was acknowledged, or not sound. From now on, what was open is as it is.
    pub fn compare(&mut self, machine: &mut Machine) -> Vec<String> {
        let mut faults = Vec::new();
        let verified = machine.run("sampan image verify");
        if verified.code != 0 {
            faults.push(verified.to_string());
        }
        let listed = machine.run(LIST).ok();
        let seen = listed.lines();
        for (thing, known) in &mut self.things {
            let is_there = seen.contains(&thing.to_string().as_str());
            match known {
                Known::Made if !is_there => faults.push(format!("{thing} is gone")),
                Known::Removed if is_there => faults.push(format!("{thing} is there again")),
                Known::Open if is_there => *known = Known::Found,
                Known::Open => *known = Known::Removed,
                _ => {}
            }
        }
        let is_known =
            |line: &str| GIVEN.contains(&line) || self.things.keys().any(|thing| thing.to_string() == line);
        faults.extend(seen.iter().filter(|line| !is_known(line)).map(|line| format!("nobody made {line}")));
        for (thing, known) in self.things.iter().filter(|(_, known)| known.is_there()) {
            let looked = machine.run(&thing.look());
            let expected = thing.expected(*known);
            if looked.code != 0 || !expected.contains(&looked.word()) {
                faults.push(format!("{thing} is {known:?} and has to be any of {expected:?}\n{looked}"));
            }
        }
        faults
    }
}

impl Known {
    fn is_there(self) -> bool {
        matches!(self, Known::Made | Known::Found)
    }
}

impl Kind {
    pub fn named(self, name: String) -> Thing {
        Thing { kind: self, name }
    }
}

impl Thing {
    /// A script that says what is in it.
    fn look(&self) -> String {
        let name = &self.name;
        match self.kind {
            Kind::Container => {
                format!("sampan inspect -f '{{{{.State.Status}}}} {{{{.State.ExitCode}}}}' {name}")
            }
            Kind::Image => format!("sampan run --rm --pull never {name} cat /number"),
            Kind::Volume => {
                format!("sampan run --rm -v {name}:/data busybox sh -c 'cat /data/* 2>/dev/null; true'")
            }
            Kind::Network => format!("sampan run --rm --network {name} busybox echo sound"),
            Kind::Pushed => format!("sampan manifest inspect {name} >/dev/null && echo sound"),
        }
    }

    /// What may be in it.
    fn expected(&self, known: Known) -> Vec<&str> {
        let number = self.name.rsplit(['-', ':']).next().unwrap_or_default();
        match (self.kind, known) {
            (Kind::Container, Known::Made) => vec!["exited 0"],
            // As its process was, or was not yet, when power was lost.
            (Kind::Container, _) => vec!["created 0", "exited 0", "exited 137"],
            (Kind::Image, _) => vec![number],
            (Kind::Volume, Known::Made) if self.name.starts_with("data-") => vec![number],
            (Kind::Volume, _) if self.name.starts_with("data-") => vec!["", number],
            (Kind::Volume, _) => vec![""],
            (Kind::Network | Kind::Pushed, _) => vec!["sound"],
        }
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Container => "container",
            Kind::Image => "image",
            Kind::Volume => "volume",
            Kind::Network => "network",
            Kind::Pushed => "pushed",
        };
        write!(f, "{kind} {}", self.name)
    }
}

/// Says what there is, a line each.
const LIST: &str = r#"
set -e
sampan ps -a --format 'container {{.Names}}'
sampan images -a --format 'image {{.Repository}}:{{.Tag}}'
sampan volume ls --format 'volume {{.Name}}'
sampan network ls --format 'network {{.Name}}'
busybox wget -q -O - http://127.0.0.1:5000/v2/copy/tags/list 2>/dev/null | grep -o '"[0-9]*"' |
    sed 's/"\(.*\)"/pushed 127.0.0.1:5000\/copy:\1/'
"#;

/// What was there before.
const GIVEN: [&str; 4] = ["image busybox:latest", "network bridge", "network host", "network none"];
