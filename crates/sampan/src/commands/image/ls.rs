//! `images`: which images there are.

use std::{collections::HashMap, process::ExitCode};

use clap::Args;
use engine::{
    Engine, EngineError, ImageSummary,
    image::{ImageFilters, shared_sizes},
};
use jiff::Timestamp;
use serde_json::json;
use types::{Digest, Reference};

use super::tree;
use crate::{
    cli::{Globals, Verb},
    filter::{Filter, pairs},
    output::{
        format::{Fields, Format, Row},
        human,
    },
    session,
};

/// List images
#[derive(Args)]
pub struct List {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<Filter>,
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// List images as a tree, each on the one whose layers it begins with
    #[arg(long)]
    tree: bool,
    repository: Option<String>,
}

impl Verb for List {
    const NAMES: &'static [&'static str] = &["image ls", "image list", "images"];
    const USAGE: &'static str = "[OPTIONS] [REPOSITORY[:TAG]]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        // Builds leave no images between their steps, so there is nothing that --all would add.
        let _ = self.all;
        let columns: &[&str] = if self.digests { WITH_DIGESTS } else { COLUMNS };
        let format = Format::parse(self.format.as_deref(), columns)?;
        let engine = session::open(globals)?;
        let wanted = self.repository.as_deref().map(|pattern| ("reference", pattern));
        let conditions = pairs(&self.filter).chain(wanted);
        let filters = ImageFilters::parse(&engine, conditions, ImageFilters::OF_LISTINGS, Timestamp::now())?;
        if self.tree {
            self.show_tree(&engine, &filters)?;
            return Ok(ExitCode::SUCCESS);
        }
        let images = engine.select_images(&filters)?;
        // As docker has it, digests are shown only where they are asked for by name: an image may have several.
        let digests = self.digests || self.format.as_ref().is_some_and(|format| format.contains(".Digest"));
        let sharing = match format.shows("SharedSize") || format.shows("UniqueSize") {
            true => Some(sharing(&engine)?),
            false => None,
        };
        let users = if format.shows("Containers") { Some(engine.containers()?) } else { None };
        let mut rows = Vec::new();
        for image in &images {
            let shared = sharing.as_ref().and_then(|sizes| sizes.get(&image.manifest)).copied();
            let users = users
                .as_ref()
                .map(|all| all.iter().filter(|container| container.config.image_id == image.id).count());
            let of_image = Row { fields: self.fields(image, shared, users), labels: None };
            rows.extend(names(image, digests).into_iter().map(|name| {
                let mut row = of_image.clone();
                row.fields.extend([
                    ("Repository", json!(name.repository)),
                    ("Tag", json!(name.tag)),
                    ("Digest", json!(name.digest)),
                ]);
                row
            }));
        }
        if self.quiet {
            for row in &rows {
                println!("{}", row.fields[0].1.as_str().unwrap_or_default());
            }
        } else {
            print!("{}", format.show(FIELDS, &rows)?);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    /// What is the same for all names of an image; its id is the first. What nobody asked to find out is not said, as docker
    /// has it.
    fn fields(
        &self,
        image: &ImageSummary,
        shared: Option<u64>,
        users: Option<usize>,
    ) -> Vec<(&'static str, serde_json::Value)> {
        let id = image.id.to_string();
        let id = if self.no_trunc { id.as_str() } else { human::short_id(&id) };
        let size = |bytes: Option<u64>| bytes.map_or(UNKNOWN.to_owned(), |bytes| human::size(bytes, 4));
        vec![
            ("ID", json!(id)),
            ("CreatedSince", json!(human::since(image.created, Timestamp::now()))),
            ("CreatedAt", json!(human::local_time(image.created))),
            ("Size", json!(human::size(image.size, 3))),
            ("VirtualSize", json!(human::size(image.size, 4))),
            ("SharedSize", json!(size(shared))),
            ("UniqueSize", json!(size(shared.map(|shared| image.size.saturating_sub(shared))))),
            ("Containers", json!(users.map_or(UNKNOWN.to_owned(), |users| users.to_string()))),
        ]
    }

    fn show_tree(&self, engine: &Engine, filters: &ImageFilters) -> anyhow::Result<()> {
        let chosen: Vec<Digest> = engine.select_images(filters)?.iter().map(|image| image.manifest).collect();
        let mut images = engine.layered_images()?;
        images.retain(|layered| chosen.contains(&layered.image.manifest));
        let detail = tree::Detail { layers: false, no_trunc: self.no_trunc };
        print!("{}", tree::draw(&images, detail));
        Ok(())
    }
}

/// A line of the listing, as far as it is about a name.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    pub repository: String,
    pub tag: String,
    pub digest: String,
}

/// The lines an image gets: one for each tag or, `with_digests`, for each tag and digest of its repository. Repositories
/// that know only a digest come last. An image without any gets one line all the same.
pub fn names(image: &ImageSummary, with_digests: bool) -> Vec<Name> {
    let none = || NONE.to_owned();
    let line = |repository: &str, tag: String, digest: String| Name {
        repository: repository.to_owned(),
        tag,
        digest,
    };
    let mut digests: Vec<(String, Vec<String>)> = Vec::new();
    for name in &image.digests {
        let digest = name.digest().map(|digest| digest.to_string()).unwrap_or_default();
        match digests.last_mut().filter(|(repository, _)| *repository == name.familiar_name()) {
            Some((_, of_repository)) => of_repository.push(digest),
            None => digests.push((name.familiar_name(), vec![digest])),
        }
    }
    let mut lines = Vec::new();
    for name in &image.names {
        let (repository, tag) = (name.familiar_name(), name.tag().unwrap_or(NONE));
        let known = digests.iter().find(|(other, _)| with_digests && *other == repository);
        match known {
            None => lines.push(line(&repository, tag.to_owned(), none())),
            Some((_, known)) => {
                lines.extend(known.iter().map(|digest| line(&repository, tag.to_owned(), digest.clone())));
            }
        }
    }
    let has_tag =
        |repository: &str| image.names.iter().any(|name: &Reference| name.familiar_name() == repository);
    for (repository, known) in digests.iter().filter(|(repository, _)| !has_tag(repository)) {
        let shown = if with_digests { known.clone() } else { vec![String::new()] };
        lines.extend(shown.into_iter().map(|digest| line(repository, none(), digest)));
    }
    if lines.is_empty() {
        lines.push(line(NONE, none(), none()));
    }
    lines
}

/// How much of each image, by its manifest, others have as well.
fn sharing(engine: &Engine) -> Result<HashMap<Digest, u64>, EngineError> {
    let images = engine.layered_images()?;
    let shared = shared_sizes(&images);
    Ok(images.into_iter().map(|layered| layered.image.manifest).zip(shared).collect())
}

const NONE: &str = "<none>";
const UNKNOWN: &str = "N/A";

const COLUMNS: &[&str] = &["Repository", "Tag", "ID", "CreatedSince", "Size"];
const WITH_DIGESTS: &[&str] = &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"];

const FIELDS: Fields = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
    ("Containers", "CONTAINERS"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: &[&str], with_digests: bool, expected: &[(&str, &str, &str)]) {
        let digest = Digest::of(b"").to_string();
        let (digests, names_of): (Vec<Reference>, Vec<Reference>) = known
            .iter()
            .map(|name| name.replace("@1", &format!("@{digest}")).parse::<Reference>().unwrap())
            .partition(|name| name.digest().is_some());
        let image = ImageSummary {
            id: Digest::of(b""),
            manifest: Digest::of(b""),
            created: Timestamp::UNIX_EPOCH,
            size: 0,
            names: names_of,
            digests,
        };
        let lines = names(&image, with_digests);
        let lines: Vec<_> = lines
            .iter()
            .map(|line| {
                let digest = if line.digest == digest { "1" } else { &line.digest };
                (line.repository.as_str(), line.tag.as_str(), digest)
            })
            .collect();
        assert_eq!(lines, expected, "{known:?}");
    }

    #[test]
    fn an_image_gets_the_lines_that_docker_gives_it() {
        check(&[], false, &[("<none>", "<none>", "<none>")]);
        check(&["a:1", "a:2"], false, &[("a", "1", "<none>"), ("a", "2", "<none>")]);
        check(&["a:1", "a@1"], false, &[("a", "1", "<none>")]);
        check(&["a:1", "a:2", "a@1"], true, &[("a", "1", "1"), ("a", "2", "1")]);
        check(&["a:1", "b@1"], true, &[("a", "1", "<none>"), ("b", "<none>", "1")]);
        check(&["b@1"], false, &[("b", "<none>", "")]);
        check(&["b@1"], true, &[("b", "<none>", "1")]);
    }
}
