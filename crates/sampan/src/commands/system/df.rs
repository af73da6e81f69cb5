//! `system df`: what takes how much disk.

use std::process::ExitCode;

use builder::cache::{self, Entry};
use clap::Args;
use engine::{
    Engine,
    usage::{ContainerUsage, ImageUsage, Part, Usage, VolumeUsage},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    cli::{Globals, Verb},
    commands::{
        container::{self, ls::ImageNames},
        image,
    },
    output::{
        format::{Fields, Format, Row},
        human,
        json::View,
        table,
    },
    session,
};

/// Show disk usage
#[derive(Args)]
pub struct DiskUsage {
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    verbose: bool,
}

impl Verb for DiskUsage {
    const NAMES: &'static [&'static str] = &["system df"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let format = Format::parse(self.format.as_deref(), COLUMNS)?;
        let engine = session::open(globals)?;
        engine.sweep()?;
        let usage = engine.usage()?;
        let cache = cache::usage(&engine)?;
        let cache = Part { reclaimable: cache.reclaimable(), size: cache.size, items: cache.entries };
        match (self.verbose, self.format.as_deref()) {
            (false, _) => print!("{}", format.show(FIELDS, &summary(&usage, &cache))?),
            (true, None | Some("table")) => print!("{}", details(&engine, &usage, &cache)?),
            (true, Some("json")) => println!("{}", document(&engine, &usage, &cache)?),
            (true, template) => {
                print!("{}", View::parse(template)?.show(&[document(&engine, &usage, &cache)?])?)
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A line for each kind of things.
fn summary(usage: &Usage, cache: &Part<Entry>) -> Vec<Row> {
    let Usage { images, containers, volumes, trash } = usage;
    let mut rows = vec![
        row("Images", images, |image| image.containers > 0, true),
        row("Containers", containers, |container| container.is_running, true),
        row("Local Volumes", volumes, |volume| volume.links > 0, true),
        // As docker has it, without a part in a hundred.
        row("Build Cache", cache, |entry| entry.in_use, false),
    ];
    if !trash.items.is_empty() {
        rows.push(row("Trash", trash, |_| false, true));
    }
    rows
}

fn row<T>(kind: &str, part: &Part<T>, is_active: impl Fn(&T) -> bool, with_percentage: bool) -> Row {
    let active = part.items.iter().filter(|item| is_active(item)).count();
    let mut reclaimable = human::size(part.reclaimable, 4);
    if with_percentage && part.size > 0 {
        reclaimable.push_str(&format!(" ({}%)", part.reclaimable * 100 / part.size));
    }
    Row {
        fields: vec![
            ("Type", json!(kind)),
            ("TotalCount", json!(part.items.len().to_string())),
            ("Active", json!(active.to_string())),
            ("Size", json!(human::size(part.size, 4))),
            ("Reclaimable", json!(reclaimable)),
        ],
        labels: None,
    }
}

/// A table for each kind of things, with a line for each.
fn details(engine: &Engine, usage: &Usage, cache: &Part<Entry>) -> anyhow::Result<String> {
    let Usage { images, containers, volumes, .. } = usage;
    let images: Vec<Vec<String>> = images.items.iter().flat_map(image_lines).collect();
    let mut names = ImageNames::new(engine);
    let containers = containers.items.iter().map(|usage| container_line(&mut names, usage));
    let containers = containers.collect::<anyhow::Result<Vec<_>>>()?;
    let volumes: Vec<Vec<String>> = volumes.items.iter().map(volume_line).collect();
    Ok([
        format!("Images space usage:\n\n{}", table::table(IMAGES, &images)),
        format!("Containers space usage:\n\n{}", table::table(CONTAINERS, &containers)),
        format!("Local Volumes space usage:\n\n{}", table::table(VOLUMES, &volumes)),
        format!(
            "Build cache usage: {}\n\n{}",
            human::size(cache.size, 4),
            table::table(CACHE, &cache.items.iter().map(cache_line).collect::<Vec<_>>())
        ),
    ]
    .join("\n"))
}

/// A line for each name of the image.
fn image_lines(usage: &ImageUsage) -> Vec<Vec<String>> {
    let names = image::ls::names(&usage.image, false).into_iter();
    let lines = names.map(|name| {
        vec![
            name.repository,
            name.tag,
            human::short_id(&usage.image.id.to_string()).to_owned(),
            human::since(usage.image.created, Timestamp::now()),
            human::size(usage.size(), 3),
            human::size(usage.shared, 4),
            human::size(usage.unique, 4),
            usage.containers.to_string(),
        ]
    });
    lines.collect()
}

fn container_line(names: &mut ImageNames<'_>, usage: &ContainerUsage) -> anyhow::Result<Vec<String>> {
    let ContainerUsage { container, size, volumes, .. } = usage;
    let image = names.of(container)?;
    Ok(vec![
        container.id.short(),
        image.as_str().unwrap_or_default().to_owned(),
        human::command(&container.config.arguments().join(" "), false),
        volumes.to_string(),
        human::size(*size, 3),
        human::since(container.created, Timestamp::now()),
        container::ls::describe(&container.status()?, container.health()?.as_ref()),
        container.name.to_string(),
    ])
}

fn volume_line(VolumeUsage { name, links, size }: &VolumeUsage) -> Vec<String> {
    vec![name.clone(), links.to_string(), human::size(*size, 4)]
}

fn cache_line(entry: &Entry) -> Vec<String> {
    let now = Timestamp::now();
    vec![
        format!("{}{}", human::short_id(&entry.id), if entry.in_use { "*" } else { "" }),
        entry.kind.name().to_owned(),
        human::size(entry.size, 3),
        human::since(entry.created, now),
        human::since(entry.last_used, now),
        entry.uses.to_string(),
        entry.shared.to_string(),
    ]
}

/// Everything, with sizes in bytes.
fn document(engine: &Engine, usage: &Usage, cache: &Part<Entry>) -> anyhow::Result<Value> {
    let Usage { images, containers, volumes, .. } = usage;
    let images: Vec<Value> = images
        .items
        .iter()
        .flat_map(|usage| image::ls::names(&usage.image, false).into_iter().map(move |name| (usage, name)))
        .map(|(usage, name)| {
            json!({
                "ID": usage.image.id,
                "Repository": name.repository,
                "Tag": name.tag,
                "CreatedAt": human::local_time(usage.image.created),
                "Size": usage.size(),
                "SharedSize": usage.shared,
                "UniqueSize": usage.unique,
                "Containers": usage.containers,
            })
        })
        .collect();
    let mut names = ImageNames::new(engine);
    let containers = containers.items.iter().map(|usage| {
        let container = &usage.container;
        Ok(json!({
            "ID": container.id,
            "Names": &*container.name,
            "Image": names.of(container)?,
            "LocalVolumes": usage.volumes,
            "Size": usage.size,
            "CreatedAt": human::local_time(container.created),
            "State": container.status()?.word(),
        }))
    });
    let volumes = volumes
        .items
        .iter()
        .map(|volume| json!({ "Name": volume.name, "Links": volume.links, "Size": volume.size }));
    let cache = cache.items.iter().map(|entry| {
        json!({
            "ID": entry.id,
            "CacheType": entry.kind.name(),
            "Size": entry.size,
            "CreatedAt": human::local_time(entry.created),
            "LastUsedAt": human::local_time(entry.last_used),
            "UsageCount": entry.uses,
            "InUse": entry.in_use,
            "Shared": entry.shared,
            "Description": entry.description,
        })
    });
    Ok(json!({
        "Images": images,
        "Containers": containers.collect::<anyhow::Result<Vec<Value>>>()?,
        "Volumes": volumes.collect::<Vec<_>>(),
        "BuildCache": cache.collect::<Vec<_>>(),
    }))
}

const COLUMNS: &[&str] = &["Type", "TotalCount", "Active", "Size", "Reclaimable"];

const FIELDS: Fields = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

const IMAGES: &[&str] =
    &["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"];
const CONTAINERS: &[&str] =
    &["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"];
const VOLUMES: &[&str] = &["VOLUME NAME", "LINKS", "SIZE"];
const CACHE: &[&str] = &["CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_is_in_use_and_what_could_be_had_back() {
        let check = |items: Vec<bool>, size: u64, reclaimable: u64, with_percentage: bool, expected: &str| {
            let row = row("Images", &Part { items, size, reclaimable }, |item| *item, with_percentage);
            let cells: Vec<_> = row.fields.iter().map(|(_, value)| value.as_str().unwrap()).collect();
            assert_eq!(cells.join(" | "), expected);
        };
        check(vec![true, false], 1_982_610, 1_982_549, true, "Images | 2 | 1 | 1.983MB | 1.983MB (99%)");
        check(vec![false], 1_982_549, 1_982_549, true, "Images | 1 | 0 | 1.983MB | 1.983MB (100%)");
        check(vec![true], 1_982_549, 0, true, "Images | 1 | 1 | 1.983MB | 0B (0%)");
        check(vec![], 0, 0, true, "Images | 0 | 0 | 0B | 0B");
        check(vec![false], 5_000, 5_000, false, "Images | 1 | 0 | 5kB | 5kB");
    }
}
