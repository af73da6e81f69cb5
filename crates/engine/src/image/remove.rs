//! Removing images: names first, and an image with its last name.
//!
//! Which names go, and what stands in the way, is decided as docker does it: by a name, only that goes, and the image
//! with it if it was the last; by an id, all names go if they are of one repository or it is forced. A registry's digests
//! go with the last tag of their repository. What a running container needs stays, but for its name.

use std::collections::BTreeMap;

use monitor::Status;
use types::{Digest, Reference};

use super::same_repository;
use crate::{
    Engine,
    error::EngineError,
    state::{Durability, ImageRow, State},
};

/// One thing that removing an image took away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    Name(Reference),
    /// The image itself, by its id.
    Image(Digest),
    /// A layer nothing else needs, by its diff id.
    Layer(Digest),
}

impl Engine {
    /// Takes a name from an image, or all names from one given by its id; an image without names is deleted.
    pub fn remove_image(&self, reference: &str, force: bool) -> Result<Vec<Removed>, EngineError> {
        let mut removed = Vec::new();
        let mut farewell = None;
        let goes = self.state.remove(Durability::Synced, |state| {
            let (row, name) = self.image_and_name(reference)?;
            let known = state.names_of(&row.manifest)?;
            let Going { names, image } = self.going(&row, reference, name, known, force)?;
            farewell = Some(self.farewell(&row, &names, image));
            untag(state, names.clone(), &mut removed)?;
            if image {
                state.delete_image(&row.manifest)?;
                removed.push(Removed::Image(row.id));
            }
            if self.keeps_trash() {
                let (layers, bytes) =
                    if image { self.going_with(&row.manifest)? } else { Default::default() };
                if self.throw_names_away(state, &row, &names, bytes)? {
                    removed.extend(layers.into_iter().map(Removed::Layer));
                    return Ok(false);
                }
            }
            Ok(image)
        })?;
        farewell.into_iter().for_each(|farewell| farewell.note(self));
        self.write_index()?;
        if goes {
            let freed = self.collect()?;
            removed.extend(freed.layers.into_iter().map(Removed::Layer));
        }
        Ok(removed)
    }

    /// What goes when an image, called `reference`, is to be removed by one of the names it is known by, or by its id.
    pub(crate) fn going(
        &self,
        row: &ImageRow,
        reference: &str,
        name: Option<Reference>,
        known: Vec<Reference>,
        force: bool,
    ) -> Result<Going, EngineError> {
        decide(row.id, reference, name, known, &Users::of(self, &row.id)?, force)
    }

    /// What is to be told of an image that loses these names, and perhaps goes itself.
    pub(super) fn farewell(&self, row: &ImageRow, names: &[Reference], goes: bool) -> Farewell {
        let tags = names.iter().filter(|name| name.digest().is_none()).count();
        // Digests that go with their tag are not told of.
        let untagged = if tags > 0 { tags } else { names.len() };
        Farewell { id: row.id.to_string(), labels: self.labels_of(&row.manifest), untagged, goes }
    }
}

/// What is told of an image that is not what it was. As with docker, not by its names.
pub(super) struct Farewell {
    id: String,
    labels: BTreeMap<String, String>,
    untagged: usize,
    goes: bool,
}

impl Farewell {
    pub(super) fn note(&self, engine: &Engine) {
        for _ in 0..self.untagged {
            engine.note_image(&self.labels, "untag", &self.id, &self.id);
        }
        if self.goes {
            engine.note_image(&BTreeMap::new(), "delete", &self.id, &self.id);
        }
    }
}

/// What of an image is to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Going {
    pub names: Vec<Reference>,
    /// The image itself.
    pub image: bool,
}

/// What goes when the image `id`, called `reference`, is to be removed by one of the names it is known by, or by its id.
fn decide(
    id: Digest,
    reference: &str,
    name: Option<Reference>,
    known: Vec<Reference>,
    users: &Users,
    force: bool,
) -> Result<Going, EngineError> {
    let is_single = of_one_repository(&known);
    let in_use = |forceable, why| EngineError::ImageInUse { image: id.short(), forceable, why };
    let running =
        users.running.as_ref().map(|user| format!("image is being used by running container {user}"));
    let stopped =
        users.stopped.as_ref().map(|user| format!("image is being used by stopped container {user}"));
    let Some(name) = name else {
        return match (running, stopped) {
            (Some(why), _) => Err(in_use(false, why)),
            _ if !known.is_empty() && !is_single && !force => {
                Err(in_use(true, "image is referenced in multiple repositories".to_owned()))
            }
            (None, Some(why)) if !force => Err(in_use(true, why)),
            _ => Ok(Going { names: known, image: true }),
        };
    };
    if let Some(user) = users.running.as_ref().or(users.stopped.as_ref()).filter(|_| is_single && !force) {
        let (container, image) = (user.clone(), id.short());
        return Err(EngineError::ReferenceInUse { reference: reference.to_owned(), container, image });
    }
    let (names, rest) = with_name(&name, known);
    let is_needed = running.is_some() || (stopped.is_some() && !force);
    Ok(Going { names, image: rest.is_empty() && !is_needed })
}

/// Of an image's names, those that go with `name`, and the others.
fn with_name(name: &Reference, known: Vec<Reference>) -> (Vec<Reference>, Vec<Reference>) {
    let is_tag = |other: &Reference| other.digest().is_none();
    let has_other_tag =
        known.iter().any(|other| other != name && is_tag(other) && same_repository(other, name));
    let takes_digests = is_tag(name) && !has_other_tag;
    known
        .into_iter()
        .partition(|other| other == name || (takes_digests && !is_tag(other) && same_repository(other, name)))
}

/// Whether there is one tag at most, and no digest of a repository other than the tag's.
fn of_one_repository(names: &[Reference]) -> bool {
    let tags = names.iter().filter(|name| name.digest().is_none()).count();
    tags <= 1 && names.first().is_some_and(|first| names.iter().all(|name| same_repository(name, first)))
}

/// Takes these names away.
pub(super) fn untag(
    state: &State,
    names: Vec<Reference>,
    removed: &mut Vec<Removed>,
) -> Result<(), EngineError> {
    for name in names {
        let was_there = match name.digest() {
            Some(digest) => state.delete_digest(&name, &digest)?,
            None => state.delete_tag(&name)?,
        };
        if was_there {
            removed.push(Removed::Name(name));
        }
    }
    Ok(())
}

/// Containers that are made from an image, one of each kind, by their short ids.
#[derive(Debug, Default, Clone)]
struct Users {
    running: Option<String>,
    stopped: Option<String>,
}

impl Users {
    fn of(engine: &Engine, image: &Digest) -> Result<Users, EngineError> {
        let mut users = Users::default();
        for container in engine.containers_of(image)? {
            let place = match container.status()? {
                Status::Running(_) | Status::Paused(_) | Status::Restarting(_) => &mut users.running,
                _ => &mut users.stopped,
            };
            place.get_or_insert_with(|| container.id.short());
        }
        Ok(users)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<Reference> {
        let digest = Digest::of(b"");
        texts.iter().map(|text| text.replace("@1", &format!("@{digest}")).parse().unwrap()).collect()
    }

    #[test]
    fn digests_go_with_the_last_tag_of_their_repository() {
        let check = |name: &str, known: &[&str], goes: &[&str]| {
            let (given, rest) = with_name(&names(&[name])[0], names(known));
            assert_eq!(given, names(goes), "{name} of {known:?}");
            assert_eq!(given.len() + rest.len(), known.len());
        };
        check("a:1", &["a:1"], &["a:1"]);
        check("a:1", &["a:1", "a@1"], &["a:1", "a@1"]);
        check("a:1", &["a:1", "a:2", "a@1"], &["a:1"]);
        check("a:1", &["a:1", "b:1", "a@1", "b@1"], &["a:1", "a@1"]);
        check("a@1", &["a:1", "a@1"], &["a@1"]);
    }

    #[test]
    fn what_stands_in_the_way_is_told_as_docker_does() {
        let free = Users::default();
        let stopped = Users { stopped: Some("s".to_owned()), ..Users::default() };
        let running = Users { running: Some("r".to_owned()), ..Users::default() };
        let check = |name: &str, known: &[&str], users: &Users, force: bool, expected: &str| {
            let called = name;
            let name = Some(name).filter(|name| !name.is_empty()).map(|name| names(&[name]).remove(0));
            let decided = match decide(Digest::of(b""), called, name, names(known), users, force) {
                Ok(Going { names, image }) => format!("{} names, image {image}", names.len()),
                Err(error) => error.to_string(),
            };
            assert!(decided.contains(expected), "{decided}, expected {expected}");
        };
        let (one, two) = (&["a:1", "a@1"][..], &["a:1", "b:1"][..]);
        check("a:1", one, &free, false, "2 names, image true");
        check("a:1", two, &free, false, "1 names, image false");
        check("a:1", one, &stopped, false, "(must force) - container s is using");
        check("a:1", one, &stopped, true, "2 names, image true");
        check("a:1", one, &running, true, "2 names, image false");
        check("a:1", two, &running, false, "1 names, image false");
        check("", one, &free, false, "2 names, image true");
        check("", two, &free, false, "(must be forced) - image is referenced in multiple repositories");
        check("", two, &free, true, "2 names, image true");
        check("", one, &stopped, false, "(must be forced) - image is being used by stopped container s");
        check("", one, &stopped, true, "2 names, image true");
        check("", two, &running, true, "(cannot be forced) - image is being used by running container r");
        check("", &[], &free, false, "0 names, image true");
    }

    #[test]
    fn a_tag_and_its_digests_are_of_one_repository() {
        for (known, expected) in [
            (&["a:1"][..], true),
            (&["a:1", "a@1"], true),
            (&["a@1"], true),
            (&["a:1", "a:2"], false),
            (&["a:1", "b@1"], false),
            (&["a@1", "b@1"], false),
            (&[], false),
        ] {
            assert_eq!(of_one_repository(&names(known)), expected, "{known:?}");
        }
    }
}
