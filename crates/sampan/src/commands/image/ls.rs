//! `images`: which images there are.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use types::Reference;

use crate::{
    cli::{Globals, Verb},
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
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
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
        let wanted = self.repository.as_deref().map(Wanted::parse).transpose()?;
        let engine = session::open(globals)?;
        let mut rows = Vec::new();
        for image in engine.list_images()? {
            let names: Vec<Option<&Reference>> = match (&wanted, image.names.is_empty()) {
                (Some(wanted), _) => image.names.iter().filter(|name| wanted.is(name)).map(Some).collect(),
                (None, true) => vec![None],
                (None, false) => image.names.iter().map(Some).collect(),
            };
            let id = image.id.to_string();
            let id = if self.no_trunc { id.as_str() } else { human::short_id(&id) };
            let age = Duration::try_from(Timestamp::now().duration_since(image.created)).unwrap_or_default();
            rows.extend(names.into_iter().map(|name| Row {
                fields: vec![
                    ("ID", json!(id)),
                    ("Repository", json!(name.map_or(NONE.to_owned(), Reference::familiar_name))),
                    ("Tag", json!(name.and_then(Reference::tag).unwrap_or(NONE))),
                    ("Digest", json!(NONE)),
                    ("CreatedSince", json!(human::ago(age))),
                    ("CreatedAt", json!(human::local_time(image.created))),
                    ("Size", json!(human::size(image.size, 3))),
                ],
                labels: None,
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

/// A repository, or one name in it.
struct Wanted {
    repository: String,
    tag: Option<String>,
}

impl Wanted {
    fn parse(text: &str) -> anyhow::Result<Wanted> {
        let reference: Reference = text.parse()?;
        let tag = reference.tag().filter(|tag| text.ends_with(&format!(":{tag}"))).map(str::to_owned);
        Ok(Wanted { repository: reference.familiar_name(), tag })
    }

    fn is(&self, name: &Reference) -> bool {
        name.familiar_name() == self.repository
            && self.tag.as_deref().is_none_or(|tag| name.tag() == Some(tag))
    }
}

const NONE: &str = "<none>";

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
];
