//! What is mounted for a step only, as mounts of a runtime specification.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use oci_spec::runtime::{Mount, MountBuilder};
use runtime::bundle;
use types::Bytes;

use super::agent::Relay;
use crate::{
    container::spec::{self, utf8},
    error::EngineError,
};

/// Something to be seen at `target`.
#[derive(Debug, Clone)]
pub struct StepMount {
    pub target: String,
    pub read_only: bool,
    pub source: StepSource,
}

#[derive(Debug, Clone)]
pub enum StepSource {
    /// A directory or file of the host, or what lies at `below` in it: links do not lead out of `path`.
    Host { path: PathBuf, below: PathBuf },
    /// Layers' directories, topmost first, or what they have at `below`; what is written goes to `upper`.
    Layers { lower: Vec<PathBuf>, upper: PathBuf, work: PathBuf, below: PathBuf },
    /// An empty directory in memory.
    Memory { size: Option<Bytes> },
    /// A file that no disk sees.
    Secret { content: SecretContent, access: Access },
    /// The agent that listens at `socket`.
    Agent { socket: PathBuf, access: Access },
}

/// Who may use a secret or an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Access {
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

/// Bytes that are in no message and no log.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretContent(pub Vec<u8>);

impl std::fmt::Debug for SecretContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("****")
    }
}

/// Mounts and what has to be there while they are.
pub struct Prepared {
    pub mounts: Vec<Mount>,
    /// What the secrets hold, for [`runtime::Confidential`].
    pub files: Vec<Vec<u8>>,
    pub agents: Vec<Relay>,
}

/// Prepares `wanted` for a container with this directory of its own.
pub fn prepare(wanted: Vec<StepMount>, directory: &Path) -> Result<Prepared, EngineError> {
    let mut prepared = Prepared { mounts: Vec::new(), files: Vec::new(), agents: Vec::new() };
    for StepMount { target, read_only, source } in wanted {
        let access = if read_only { "ro" } else { "rw" };
        let below = |path: &Path| Ok::<_, EngineError>(format!("{}{}", bundle::BELOW, utf8(path)?));
        let mount = match source {
            StepSource::Host { path, below: part } => {
                spec::mount(&target, "bind", utf8(&path)?, &["bind", "rprivate", access, &below(&part)?])?
            }
            StepSource::Layers { lower, upper, work, below: part } => {
                let mut options = overlay(lower, &upper, &work)?;
                options.extend([access.to_owned(), below(&part)?]);
                let mount = MountBuilder::default().destination(&target).typ("overlay").source("overlay");
                mount.options(options).build().map_err(spec::invalid)?
            }
            StepSource::Memory { size } => {
                let size = size.map(|size| format!("size={}", size.0));
                // What it hides may be a directory that was made for it.
                let fixed = ["nosuid", access, "mode=1777"];
                let options: Vec<&str> = fixed.into_iter().chain(size.as_deref()).collect();
                spec::mount(&target, "tmpfs", "tmpfs", &options)?
            }
            StepSource::Secret { content, access: Access { uid, gid, mode } } => {
                let index = prepared.files.len().to_string();
                prepared.files.push(content.0);
                let options = [format!("uid={uid}"), format!("gid={gid}"), format!("mode={mode:o}")];
                let [uid, gid, mode] = options.each_ref().map(String::as_str);
                spec::mount(&target, bundle::SECRET, &index, &[access, uid, gid, mode])?
            }
            StepSource::Agent { socket, access } => {
                let name = format!("agent{}", prepared.agents.len());
                prepared.agents.push(Relay::start(&socket, directory, &name, access)?);
                spec::mount(&target, "bind", utf8(&directory.join(name))?, &["bind", "rprivate"])?
            }
        };
        prepared.mounts.push(mount);
    }
    Ok(prepared)
}

/// Options of an overlay whose changes nobody needs afterwards.
fn overlay(lower: Vec<PathBuf>, upper: &Path, work: &Path) -> Result<Vec<String>, EngineError> {
    // Equal layers are one directory, which overlayfs refuses twice. What is higher hides what is lower.
    let mut seen = HashSet::new();
    let lower: Vec<PathBuf> = lower.into_iter().filter(|directory| seen.insert(directory.clone())).collect();
    let lower = runtime::join_layers(lower.iter().map(PathBuf::as_path));
    Ok(vec![
        format!("lowerdir={}", utf8(Path::new(&lower))?),
        format!("upperdir={}", utf8(upper)?),
        format!("workdir={}", utf8(work)?),
        "volatile".to_owned(),
    ])
}
