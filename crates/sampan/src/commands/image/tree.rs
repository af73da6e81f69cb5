//! `image tree`: images and their layers, each on what it begins with.

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use engine::image::{Layered, Node, trees};
use serde_json::{Value, json};
use types::{Digest, Reference};

use crate::{
    cli::{Globals, Verb},
    output::{human, table},
    session,
};

/// Show images and their layers as a tree, each on what it begins with
#[derive(Args)]
pub struct Tree {
    /// Format output: 'json' prints the tree as one document
    #[arg(long)]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Show images only
    #[arg(short, long)]
    quiet: bool,
    images: Vec<String>,
}

impl Verb for Tree {
    const NAMES: &'static [&'static str] = &["image tree"];
    const USAGE: &'static str = "[OPTIONS] [IMAGE...]";

    fn run(self, globals: &Globals) -> anyhow::Result<ExitCode> {
        let engine = session::open(globals)?;
        let mut images = engine.layered_images()?;
        let chosen = self.images.iter().map(|name| Ok(engine.image(name)?.manifest));
        let chosen: Vec<Digest> = chosen.collect::<anyhow::Result<_>>()?;
        images.retain(|layered| chosen.is_empty() || chosen.contains(&layered.image.manifest));
        match self.format.as_deref() {
            None => print!("{}", draw(&images, Detail { layers: !self.quiet, no_trunc: self.no_trunc })),
            Some("json") => {
                let nodes: Vec<Value> = trees(&images).iter().map(|node| describe(node, 0)).collect();
                println!("{}", Value::Array(nodes));
            }
            Some(other) => anyhow::bail!("invalid format {other:?}: there is only 'json'"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is shown of a tree.
#[derive(Debug, Clone, Copy)]
pub struct Detail {
    pub layers: bool,
    /// Whole ids and commands.
    pub no_trunc: bool,
}

/// A table of the images as trees, and below it what they come to. A size with a plus is what is added to what stands
/// below: these add up to all that there is.
pub fn draw(images: &[Layered], detail: Detail) -> String {
    let mut rows = Vec::new();
    for node in trees(images) {
        push(&node, Branch { lead: "", stem: "" }, 0, detail, &mut rows);
    }
    let header = if detail.layers { WITH_LAYERS } else { WITHOUT_LAYERS };
    let mut text = table::table(header, &rows);
    if !images.is_empty() {
        text.push_str(&sum(images));
    }
    text
}

/// What stands before a node's own line, and before those of what belongs to it.
#[derive(Clone, Copy)]
struct Branch<'a> {
    lead: &'a str,
    stem: &'a str,
}

fn push(node: &Node, branch: Branch<'_>, below: u64, detail: Detail, rows: &mut Vec<Vec<String>>) {
    let (names, id) = match &node.image {
        Some(image) => (names(&image.names, &image.digests), image.id.to_string()),
        None => ("<shared>".to_owned(), String::new()),
    };
    let size = below + node.size();
    let id = if detail.no_trunc { id.as_str() } else { human::short_id(&id) };
    let cells = [id, &human::size(size, 3), &added(node.size())].map(str::to_owned);
    rows.push([vec![format!("{}{names}", branch.lead)], cells.to_vec()].concat());
    let layers = if detail.layers { node.layers.as_slice() } else { &[] };
    for layer in layers {
        let digest = layer.diff_id.to_string();
        let digest = if detail.no_trunc { digest.as_str() } else { human::short_id(&digest) };
        let stem = if node.above.is_empty() { "   " } else { "│  " };
        let created_by = layer.created_by.replace(['\t', '\n'], " ");
        let created_by = if detail.no_trunc { created_by } else { human::ellipsis(&created_by, 45) };
        rows.push(vec![
            format!("{}{stem}· {digest}", branch.stem),
            String::new(),
            String::new(),
            added(layer.size),
            created_by,
        ]);
    }
    for (at, child) in node.above.iter().enumerate() {
        let (lead, stem) = if at + 1 == node.above.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let (lead, stem) = (format!("{}{lead}", branch.stem), format!("{}{stem}", branch.stem));
        push(child, Branch { lead: &lead, stem: &stem }, size, detail, rows);
    }
}

fn names(tags: &[Reference], digests: &[Reference]) -> String {
    match (tags, digests) {
        ([], []) => "<none>".to_owned(),
        ([], [digest, ..]) => format!("{}:<none>", digest.familiar_name()),
        (tags, _) => tags.iter().map(Reference::familiar).collect::<Vec<_>>().join(", "),
    }
}

fn added(size: u64) -> String {
    format!("+{}", human::size(size, 3))
}

/// What all images come to, and how much more that would be if they had nothing in common.
fn sum(images: &[Layered]) -> String {
    let layers: BTreeMap<Digest, u64> =
        images.iter().flat_map(|image| &image.layers).map(|layer| (layer.diff_id, layer.size)).collect();
    let (apart, together) = (images.iter().map(|image| image.image.size).sum::<u64>(), layers.values().sum());
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let (images, layers) = (count(images.len(), "image"), count(layers.len(), "layer"));
    let mut text = format!("\n{images}, {layers}: {}", human::size(together, 3));
    if apart > together {
        text.push_str(&format!(", {} saved by sharing", human::size(apart - together, 3)));
    }
    text + "\n"
}

fn describe(node: &Node, below: u64) -> Value {
    let size = below + node.size();
    let image = node.image.as_ref();
    let layers = node
        .layers
        .iter()
        .map(|layer| json!({ "DiffID": layer.diff_id, "Size": layer.size, "CreatedBy": layer.created_by }));
    json!({
        "ID": image.map(|image| image.id),
        "RepoTags": image.map_or(Vec::new(), |image| image.names.iter().map(Reference::familiar).collect()),
        "RepoDigests": image.map_or(Vec::new(), |image| image.digests.iter().map(Reference::familiar).collect()),
        "Size": size,
        "Added": node.size(),
        "Layers": layers.collect::<Vec<_>>(),
        "Children": node.above.iter().map(|child| describe(child, size)).collect::<Vec<_>>(),
    })
}

const WITH_LAYERS: &[&str] = &["IMAGE", "ID", "SIZE", "ADDED", "CREATED BY"];
const WITHOUT_LAYERS: &[&str] = &["IMAGE", "ID", "SIZE", "ADDED"];

#[cfg(test)]
mod tests {
    use engine::{ImageSummary, image::LayerSummary};

    use super::*;

    fn image(name: &str, layers: &[(&str, u64)]) -> Layered {
        Layered {
            image: ImageSummary {
                id: Digest::of(name.as_bytes()),
                manifest: Digest::of(name.as_bytes()),
                created: jiff::Timestamp::UNIX_EPOCH,
                size: layers.iter().map(|(_, size)| size).sum(),
                names: name.split(' ').map(|name| name.parse().unwrap()).collect(),
                digests: Vec::new(),
            },
            layers: layers
                .iter()
                .map(|(text, size)| LayerSummary {
                    diff_id: Digest::of(text.as_bytes()),
                    size: *size,
                    created_by: (*text).to_owned(),
                })
                .collect(),
        }
    }

    fn images() -> Vec<Layered> {
        let base = ("ADD root", 77_300_000);
        vec![
            image("debian:12", &[base]),
            image(
                "web:1 web:2",
                &[base, ("COPY\tapp", 1_000_000), ("RUN make it so that this line is too long to show", 20)],
            ),
            image("tool", &[base, ("RUN apt-get", 9_000_000)]),
            image("left", &[("x", 10), ("left", 1)]),
            image("right", &[("x", 10), ("right", 2)]),
        ]
    }

    #[test]
    fn layers_hang_on_the_image_that_adds_them() {
        let expected = "\
IMAGE                  ID             SIZE      ADDED     CREATED BY
debian:12              3be3c43cd7ee   77.3MB    +77.3MB
│  · 16f96f73c211                               +77.3MB   ADD root
├─ tool:latest         7c9bbe5ec9b3   86.3MB    +9MB
│     · 3b7a1bfe8999                            +9MB      RUN apt-get
└─ web:1, web:2        4f30fa7be148   78.3MB    +1MB
      · ba834530036b                            +1MB      COPY app
      · 4016a395e235                            +20B      RUN make it so that this line is too long to…
<shared>                              10B       +10B
│  · 2d711642b726                               +10B      x
├─ left:latest         360f84035942   11B       +1B
│     · 360f84035942                            +1B       left
└─ right:latest        27042f4e6eca   12B       +2B
      · 27042f4e6eca                            +2B       right

5 images, 7 layers: 87.3MB, 155MB saved by sharing
";
        assert_eq!(draw(&images(), Detail { layers: true, no_trunc: false }), expected);
    }

    #[test]
    fn without_layers_a_line_is_an_image() {
        let expected = "\
IMAGE             ID             SIZE      ADDED
debian:12         3be3c43cd7ee   77.3MB    +77.3MB
├─ tool:latest    7c9bbe5ec9b3   86.3MB    +9MB
└─ web:1, web:2   4f30fa7be148   78.3MB    +1MB
<shared>                         10B       +10B
├─ left:latest    360f84035942   11B       +1B
└─ right:latest   27042f4e6eca   12B       +2B

5 images, 7 layers: 87.3MB, 155MB saved by sharing
";
        assert_eq!(draw(&images(), Detail { layers: false, no_trunc: false }), expected);
        assert_eq!(
            draw(&[], Detail { layers: false, no_trunc: false }),
            "IMAGE     ID        SIZE      ADDED\n"
        );
    }
}
