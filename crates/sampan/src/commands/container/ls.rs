//! `ps`: which containers there are.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use engine::{
    Engine, EngineError, Status,
    container::{Container, ContainerFilters, Health, HealthState},
};
use image::tree::{self, Links, Root};
use jiff::Timestamp;
use serde_json::{Value, json};
use types::Digest;

use super::port::addresses;
use crate::{
    cli::{Globals, Verb},
    filter::{Filter, pairs},
    output::{
        format::{Fields, Format, Row},
        human::{self, PortMapping},
    },
    session,
};

/// List containers
#[derive(Args)]
pub struct List {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<Filter>,
    /// Format output using a custom template
    #[arg(long)]
    format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, default_value = "-1")]
    last: i64,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

impl Verb for List {
    const NAMES: &'static [&'static str] = &["container ls", "container list", "container ps", "ps"];
    const USAGE: &'static str = "[OPTIONS]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let columns = if self.size { WITH_SIZE } else { COLUMNS };
        let format = Format::parse(self.format.as_deref(), columns)?;
        let engine = session::open(globals)?;
        let containers = engine.sweep()?;
        let filters = ContainerFilters::parse(&engine, pairs(&self.filter))?;
        // None is no limit, as docker has it.
        let last = if self.latest { 1 } else { self.last.max(0) };
        let every_state = self.all || last > 0 || filters.are_of_every_state();
        let mut rows = Vec::new();
        for (container, status) in containers {
            if last > 0 && rows.len() as i64 == last {
                break;
            }
            let status = status?;
            if (every_state || status.is_running()) && filters.let_through(&container, &status) {
                rows.push((container, status));
            }
        }
        if self.quiet {
            for (container, _) in &rows {
                println!("{}", if self.no_trunc { container.id.to_string() } else { container.id.short() });
            }
            return Ok(ExitCode::SUCCESS);
        }
        let measures = self.size || format.shows("Size");
        let mut images = ImageNames::new(&engine);
        let mut shown = Vec::new();
        for (container, status) in &rows {
            let size = if measures { Some(Size::of(&engine, container)?) } else { None };
            shown.push(row(&mut images, container, status, size.unwrap_or_default(), self.no_trunc)?);
        }
        print!("{}", format.show(FIELDS, &shown)?);
        Ok(ExitCode::SUCCESS)
    }
}

fn row(
    images: &mut ImageNames<'_>,
    container: &Container,
    status: &Status,
    size: Size,
    full: bool,
) -> Result<Row, EngineError> {
    let config = &container.config;
    let id = container.id.to_string();
    let mappings = match status.started() {
        Some(started) => {
            let mut mappings: Vec<PortMapping> = Vec::new();
            for publish in &started.publish {
                let hosts = addresses(publish).into_iter();
                mappings.extend(hosts.map(|at| PortMapping {
                    container: publish.container,
                    host: Some((at.ip(), at.port())),
                }));
            }
            let published =
                |port: &types::Port| started.publish.iter().any(|publish| publish.container == *port);
            mappings.extend(
                config
                    .exposed
                    .iter()
                    .filter(|port| !published(port))
                    .map(|port| PortMapping { container: *port, host: None }),
            );
            mappings
        }
        None => Vec::new(),
    };
    let mounts: Vec<String> = config
        .mounts
        .iter()
        .map(|mount| match &mount.source {
            engine::container::MountSource::Bind(path) => path.display().to_string(),
            engine::container::MountSource::Volume(name) => name.clone(),
            engine::container::MountSource::Tmpfs(_) => String::new(),
            engine::container::MountSource::Image { name, .. } => name.clone(),
        })
        .filter(|source| !source.is_empty())
        .map(|source| if full { source } else { human::ellipsis(&source, 15) })
        .collect();
    let labels: BTreeMap<String, String> = config.labels.iter().cloned().collect();
    Ok(Row {
        fields: vec![
            ("ID", json!(if full { id.as_str() } else { human::short_id(&id) })),
            ("Image", images.of(container)?),
            ("Command", json!(human::command(&command_line(&config.arguments()), full))),
            ("CreatedAt", json!(human::local_time(container.created))),
            ("RunningFor", json!(human::ago(since(container.created)))),
            ("Status", json!(describe(status, container.health()?.as_ref()))),
            ("State", json!(status.word())),
            ("Ports", json!(human::ports(&mappings))),
            ("Names", json!(&*container.name)),
            ("Labels", json!(labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","))),
            ("Mounts", json!(mounts.join(","))),
            (
                "LocalVolumes",
                json!(config.mounts.iter().filter(|mount| mount.is_volume()).count().to_string()),
            ),
            ("Networks", json!(config.network.names().join(","))),
            ("Platform", Value::Null),
            ("Size", json!(size.describe())),
        ],
        labels: Some(labels),
    })
}

/// A command as one could type it, nearly: words with spaces are in quotes.
fn command_line(words: &[String]) -> String {
    let quoted = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// How much disk a container takes. Nothing, as docker has it, where nobody asked to measure.
#[derive(Default)]
pub struct Size {
    /// What the container itself has written.
    pub written: u64,
    pub image: u64,
}

impl Size {
    pub fn of(engine: &Engine, container: &Container) -> Result<Size, EngineError> {
        let images = engine.images();
        let image = images.image(&container.manifest)?;
        Ok(Size { written: files_below(&container.directory.join("upper"))?, image: images.size(&image)? })
    }

    /// The SIZE column: `0B (virtual 4.26MB)`.
    fn describe(&self) -> String {
        let size = |bytes| human::size(bytes, 3);
        match self.written + self.image {
            0 => size(0),
            whole => format!("{} (virtual {})", size(self.written), size(whole)),
        }
    }
}

/// The sizes of all files below `directory`, those with several names once.
fn files_below(directory: &Path) -> io::Result<u64> {
    let mut total = 0;
    let mut seen = HashSet::new();
    let walked = Root::open(directory, Links::Refused).and_then(|root| {
        tree::walk(&root, Path::new(""), &mut |found| {
            let is_new = found.stat.st_nlink == 1 || seen.insert(found.stat.st_ino);
            if !found.file_type().is_dir() && is_new {
                total += found.stat.st_size as u64;
            }
            io::Result::Ok(true)
        })
    });
    match walked {
        // The container goes on meanwhile: what it removes counts no more.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(total),
    }
}

/// What the names of containers' images mean now, each of them looked up once.
pub struct ImageNames<'a> {
    engine: &'a Engine,
    known: HashMap<String, Option<Digest>>,
}

impl<'a> ImageNames<'a> {
    pub fn new(engine: &'a Engine) -> ImageNames<'a> {
        ImageNames { engine, known: HashMap::new() }
    }

    /// The image as the user named it, or its id if the name now means another.
    pub fn of(&mut self, container: &Container) -> Result<Value, EngineError> {
        let config = &container.config;
        let meant = match self.known.get(&config.image) {
            Some(meant) => *meant,
            None => {
                let meant = match self.engine.image(&config.image) {
                    Ok(image) => Some(image.id),
                    Err(EngineError::NoImage(_) | EngineError::AmbiguousId(_)) => None,
                    Err(error) => return Err(error),
                };
                self.known.insert(config.image.clone(), meant);
                meant
            }
        };
        let is_same = meant == Some(config.image_id);
        Ok(if is_same { json!(config.image) } else { json!(config.image_id.short()) })
    }
}

/// The STATUS column.
pub fn describe(status: &Status, health: Option<&Health>) -> String {
    match status {
        Status::Created => "Created".to_owned(),
        Status::Running(started) => {
            let health = match health.map(|health| health.state) {
                None => "",
                Some(HealthState::Starting) => " (health: starting)",
                Some(HealthState::Healthy) => " (healthy)",
                Some(HealthState::Unhealthy) => " (unhealthy)",
            };
            format!("Up {}{health}", human::duration(since(started.at)))
        }
        Status::Paused(started) => format!("Up {} (Paused)", human::duration(since(started.at))),
        Status::Restarting(ended) => {
            format!("Restarting ({}) {}", ended.code, human::ago(since(ended.finished)))
        }
        Status::Exited(ended) if ended.started.is_none() => "Created".to_owned(),
        Status::Exited(ended) => format!("Exited ({}) {}", ended.code, human::ago(since(ended.finished))),
    }
}

/// How long ago that was; nothing for what a clock set back puts in the future.
fn since(time: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(time)).unwrap_or_default()
}

const COLUMNS: &[&str] = &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];

const WITH_SIZE: &[&str] = &["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names", "Size"];

const FIELDS: Fields = &[
    ("ID", "CONTAINER ID"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Status", "STATUS"),
    ("State", "STATE"),
    ("Ports", "PORTS"),
    ("Names", "NAMES"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
    ("Size", "SIZE"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_virtual_size_has_the_image_in_it() {
        for (written, image, expected) in [
            (0, 4_261_550, "0B (virtual 4.26MB)"),
            (1_000_000, 4_261_550, "1MB (virtual 5.26MB)"),
            (0, 0, "0B"),
        ] {
            assert_eq!(Size { written, image }.describe(), expected);
        }
    }
}
