//! What the engine asks of a monitor, and what comes back.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use network::{Attachment, RootlessNetns};
use runtime::cgroup::Layout;
use types::{ContainerId, Publish};

use crate::{
    health::{Check, Farewell},
    log::{Errand, Format, Limits},
    record::read_small,
    volumes::VolumeUse,
};

/// Everything a monitor needs to know that is not in the runtime specification.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Order {
    pub id: ContainerId,
    /// The cgroup below which the container's own is made.
    pub cgroup_parent: String,
    /// Of an ordinary user: the part of the tree of cgroups that is delegated, and that this is in.
    #[serde(default)]
    pub delegated: Option<PathBuf>,
    pub terminal: Option<TerminalSize>,
    pub input: Input,
    pub network: Option<Network>,
    /// Where the monitor says that it is in the user namespace of an ordinary user's engine, if it is.
    #[serde(default)]
    pub namespace: Option<PathBuf>,
    /// Files that say what else this container has: removed when it ends.
    #[serde(default)]
    pub claims: Vec<PathBuf>,
    /// Volumes that are mounted while the container uses them.
    #[serde(default)]
    pub volumes: Vec<VolumeUse>,
    pub log: Limits,
    #[serde(default)]
    pub log_format: Format,
    /// What another process does with the output, if it is wanted elsewhere too or may be lost.
    #[serde(default)]
    pub errand: Option<Errand>,
    pub on_abandon: OnAbandon,
    /// A descriptor of [`runtime::Confidential`] comes along.
    #[serde(default)]
    pub confidential: bool,
    /// How often the container was started again since somebody started it.
    #[serde(default)]
    pub restarts: u32,
    /// How to see whether the container is well.
    #[serde(default)]
    pub health: Option<Check>,
    /// How the container is stopped when the monitor is to end.
    #[serde(default)]
    pub farewell: Farewell,
    /// What to execute when the container has ended and nobody who launched it is left to clean up.
    pub afterwards: Option<Vec<String>>,
}

impl Order {
    /// Puts the order into the container's directory `bundle`, for a monitor to carry out.
    pub(crate) fn store(&self, bundle: &Path) -> io::Result<()> {
        fs::write(bundle.join(FILE), serde_json::to_vec(self)?)
    }

    /// Puts the order in the place of an earlier one that a monitor is carrying out.
    pub fn replace(&self, bundle: &Path) -> io::Result<()> {
        let temporary = bundle.join(".order.json");
        fs::write(&temporary, serde_json::to_vec(self)?)?;
        fs::rename(temporary, bundle.join(FILE))
    }

    /// The order in `bundle`, if there is one that is not done with.
    pub fn load(bundle: &Path) -> io::Result<Option<Order>> {
        let bytes = read_small(&bundle.join(FILE))?;
        Ok(bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
    }

    /// The cgroup trees that the container has groups in.
    pub(crate) fn layout(&self) -> io::Result<Layout> {
        Ok(Layout::detect_with(self.delegated.as_deref())?)
    }

    /// Whether there may be an order in `bundle` that is not done with. That it says anything is not looked at.
    pub(crate) fn exists(bundle: &Path) -> io::Result<bool> {
        bundle.join(FILE).try_exists()
    }

    /// Says that nothing the order named is left.
    pub(crate) fn settle(bundle: &Path) -> io::Result<()> {
        fs::remove_file(bundle.join(FILE))
    }
}

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TerminalSize {
    pub columns: u16,
    pub rows: u16,
}

/// What becomes of the container when the process that launched it goes away before it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum OnAbandon {
    /// It runs on.
    LetRun,
    /// It is of no use to anybody, and killed.
    End,
}

/// Where the container reads its standard input from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Input {
    /// Nothing to read.
    Closed,
    /// A pipe or terminal whose other end those are given who take part in the container and want to type.
    Open,
    /// The same, but a pipe ends when the first of them has nothing more to say.
    Once,
}

/// The container's own end of the network.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Network {
    /// Where the bridges are, if not in the monitor's own network namespace: an ordinary user's.
    #[serde(default)]
    pub rootless: Option<RootlessNetns>,
    /// The firewall table of this engine.
    pub table: String,
    pub attachments: Vec<Attachment>,
    pub publish: Vec<Publish>,
    /// Where names are answered from, on networks that have them.
    pub names: Vec<PathBuf>,
    /// Where other names are asked for.
    pub upstreams: Vec<SocketAddr>,
    /// Files that say this container has an address or a name: removed when it ends.
    pub claims: Vec<PathBuf>,
}

impl Network {
    /// Does something where the bridges are.
    pub(crate) fn beside_the_bridges<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        match &self.rootless {
            None => Ok(work()),
            Some(netns) => netns.run(work),
        }
    }

    /// Whether a network that it has leads to the outside.
    pub(crate) fn leads_out(&self) -> bool {
        self.attachments.iter().any(|attachment| attachment.gateway.is_some())
    }
}

const FILE: &str = "order.json";
