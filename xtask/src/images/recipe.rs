//! What an image is made of, as plain data.

use std::path::Path;

use serde_json::{Map, Value, json};
use types::Platform;

use super::{debian, pip, recipes::busybox, tree::Tree};

/// One image: the name Dockerfiles call it by, its layers from the lowest up, and its configuration.
#[derive(Debug)]
pub struct Recipe {
    pub name: &'static str,
    pub layers: &'static [Layer],
    pub config: Config,
    /// Whether programs in it are to trust the certificates that this machine trusts.
    pub trusts_host: bool,
}

impl Recipe {
    /// The name as a file can have it: `python-2.7-slim`.
    pub fn stem(&self) -> String {
        self.name.replace([':', '/'], "-")
    }
}

/// One layer.
#[derive(Debug)]
pub enum Layer {
    /// A Debian system.
    Debian(debian::System),
    /// The one static program that is a whole small system.
    Busybox,
    /// pip and what it needs, for Debian's `python`.
    Pip { python: &'static str, wheels: &'static [&'static str] },
    /// Files, and empty directories where the path ends in a slash; all root's.
    Files(&'static [(&'static str, Mode, &'static str)]),
}

pub type Mode = u32;

impl Layer {
    /// Writes the layer to the file `layer`. What is needed in between may lie in `scratch`.
    pub fn make(&self, layer: &Path, scratch: &Path) -> anyhow::Result<()> {
        match self {
            Layer::Debian(system) => system.make(layer, scratch),
            Layer::Busybox => busybox::make(layer, scratch),
            Layer::Pip { python, wheels } => pip::make(python, wheels, layer, scratch),
            Layer::Files(files) => Tree::of(files).write(layer),
        }
    }

    /// What `history` says of it.
    pub fn created_by(&self) -> String {
        match self {
            Layer::Debian(system) => format!("mmdebstrap {} {}", system.suite, system.packages.join(" ")),
            Layer::Busybox => "Debian's busybox-static".to_owned(),
            Layer::Pip { wheels, .. } => wheels.join(" "),
            Layer::Files(files) => files.iter().map(|(path, ..)| *path).collect::<Vec<_>>().join(" "),
        }
        .trim()
        .to_owned()
    }
}

/// What an image says of how it wants to be run.
#[derive(Debug)]
pub struct Config {
    pub env: &'static [&'static str],
    pub entrypoint: &'static [&'static str],
    pub cmd: &'static [&'static str],
    pub ports: &'static [&'static str],
    pub volumes: &'static [&'static str],
    pub working_dir: &'static str,
}

impl Config {
    pub const EMPTY: Config =
        Config { env: &[], entrypoint: &[], cmd: &[], ports: &[], volumes: &[], working_dir: "" };

    /// The `config` object of an OCI image configuration; what is empty is absent.
    pub fn json(&self) -> Value {
        let set =
            |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), json!({}))).collect::<Map<_, _>>();
        let fields = [
            ("ExposedPorts", json!(set(self.ports)), self.ports.is_empty()),
            ("Env", json!(self.env), self.env.is_empty()),
            ("Entrypoint", json!(self.entrypoint), self.entrypoint.is_empty()),
            ("Cmd", json!(self.cmd), self.cmd.is_empty()),
            ("Volumes", json!(set(self.volumes)), self.volumes.is_empty()),
            ("WorkingDir", json!(self.working_dir), self.working_dir.is_empty()),
        ];
        let present = fields.into_iter().filter(|(.., empty)| !empty);
        present.map(|(name, value, _)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
    }
}

/// The processor architecture of this machine, and so of every image made on it, in Go's words.
pub fn architecture() -> String {
    Platform::host().architecture
}
