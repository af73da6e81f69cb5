//! What a Dockerfile comes to: operations on file systems, and the configuration of the image they end in.
//!
//! Plain data. An operation names what it stands on, so operations of several stages can share one graph.

mod mounts;

use engine::container::Ulimit;
use image::{Configuration, Image};
use serde::{Deserialize, Serialize};
use types::Digest;

use crate::{
    diagnostic::Span,
    host::Network,
    mode::Mode,
    remote::{git::GitReference, url::Url},
};

pub use mounts::{CacheMount, Mount, MountKind, SecretVariable, Sharing};

/// The operations in an order in which each comes after what it stands on, and what to make of the last.
#[derive(Debug)]
pub struct Graph {
    pub operations: Vec<Operation>,
    /// The image's configuration, layers and history of the base included.
    pub config: Configuration,
    /// What this build adds to the history.
    pub history: Vec<Entry>,
    pub result: OperationId,
    /// Values on the command line that no ARG asked for.
    pub unused_arguments: Vec<String>,
}

impl Graph {
    /// How many operations are worth telling of; `scratch` is none.
    pub fn tasks(&self) -> usize {
        let told = |operation: &&Operation| !matches!(operation.action, Action::Base(None));
        self.operations.iter().filter(told).count()
    }
}

/// An index into [`Graph::operations`].
pub type OperationId = usize;

/// One change to a file system.
#[derive(Debug)]
pub struct Operation {
    /// The file system that is changed; a base has none.
    pub input: Option<OperationId>,
    pub action: Action,
    /// Where it is counted, as progress shows it: `[build 2/5] `, or nothing.
    pub label: String,
    /// Where it stands, for comparing it with what stood there in an earlier build: `build 2`.
    pub place: String,
    /// What it stands on is an image, and no step's result.
    pub stands_on_base: bool,
    /// The names of the arguments that are declared where it stands.
    pub arguments: Vec<String>,
    /// What a process finds here, whether this is one or not.
    pub process: Process,
    /// The instruction as progress shows it.
    pub title: String,
    pub span: Span,
}

/// How a process runs where an operation stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    pub environment: Vec<String>,
    pub directory: String,
    pub user: String,
    /// What SHELL says, if it was said.
    pub shell: Vec<String>,
}

impl Process {
    /// The shell to talk to.
    pub fn shell(&self) -> Vec<String> {
        vec![self.shell.first().map_or("/bin/sh", String::as_str).to_owned()]
    }
}

impl Operation {
    /// One that stands on nothing: an image to begin with.
    pub fn source(action: Action, label: String, title: String, span: Span) -> Operation {
        let (place, arguments) = (String::new(), Vec::new());
        let process = Process::default();
        Operation {
            input: None,
            action,
            label,
            place,
            stands_on_base: false,
            arguments,
            process,
            title,
            span,
        }
    }

    /// The operations that have to be done before.
    pub fn needs(&self) -> impl Iterator<Item = OperationId> {
        self.input.into_iter().chain(self.takes_from())
    }

    /// The operations whose results files are taken from.
    pub fn takes_from(&self) -> Vec<OperationId> {
        let origins: Vec<Origin> = match &self.action {
            Action::Copy(copy) => vec![copy.from],
            Action::Run(run) => {
                run.mounts.iter().filter_map(Mount::takes).map(|(origin, _)| origin).collect()
            }
            Action::Base(_) | Action::MakeDirectory(_) => Vec::new(),
        };
        let states = origins.into_iter().filter_map(|origin| match origin {
            Origin::State(id) => Some(id),
            Origin::Context | Origin::Named(_) => None,
        });
        states.collect()
    }
}

/// Where files are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Origin {
    #[default]
    Context,
    /// What an operation came to: a stage's end, or an image.
    State(OperationId),
    /// The named context with this number, in the order of the names.
    Named(usize),
}

#[derive(Debug)]
pub enum Action {
    /// An image that exists; `None` is `scratch`.
    Base(Option<Box<Image>>),
    Run(Run),
    Copy(Copy),
    MakeDirectory(MakeDirectory),
}

/// Runs a process and keeps what it changed. Serialized, it is part of the step's cache key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Run {
    pub arguments: Vec<String>,
    pub environment: Vec<String>,
    pub directory: String,
    pub user: String,
    pub network: Network,
    /// It has all privileges there are: `--security=insecure`.
    pub insecure: bool,
    /// In the order in which they are mounted.
    pub mounts: Vec<Mount>,
    pub secrets: Vec<SecretVariable>,
    /// Further names in /etc/hosts, whatever addresses they stand for.
    pub hosts: Vec<String>,
    pub ulimits: Vec<Ulimit>,
    /// The size of /dev/shm in bytes.
    pub shm: Option<u64>,
    /// Variables for the process only, which are no reason to run it again: proxies.
    #[serde(skip)]
    pub ambient: Vec<String>,
}

/// Copies files. Serialized, it is part of the step's cache key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copy {
    /// Not part of the key: the files are, by their content.
    #[serde(skip)]
    pub from: Origin,
    pub sources: Vec<Source>,
    pub selection: Selection,
    /// Absolute; ends in a slash if it was written so, to say that it is a directory.
    pub destination: String,
    /// `user[:group]`, to be looked up in the image if they are names.
    pub owner: Option<String>,
    pub mode: Option<Mode>,
    /// Archives are unpacked: ADD.
    pub unpack: bool,
    /// What is there already does not matter: the layer is made as if it were the first.
    pub link: bool,
}

/// Which of the files that sources name are taken, and where they go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Selection {
    /// Patterns of files to leave out.
    pub excludes: Vec<String>,
    /// The directories above a file come along: `--parents`.
    pub parents: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Source {
    /// A path or pattern where the files are from.
    Files(String),
    /// The text of a here-document.
    Inline {
        name: String,
        content: String,
    },
    Url(UrlSource),
    Git(GitSource),
}

/// A file that a web server has. What it holds is part of the key, besides this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UrlSource {
    #[serde(skip)]
    pub url: Url,
    /// What the file is called if it is put into a directory.
    pub name: String,
    #[serde(skip)]
    pub checksum: Option<Digest>,
    pub unpack: bool,
}

/// The files of a repository. Which commit they are from is part of the key, besides this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GitSource {
    #[serde(skip)]
    pub reference: GitReference,
    /// As the Dockerfile has it, without a password.
    #[serde(skip)]
    pub written: String,
    pub keep_git_dir: bool,
    pub submodules: bool,
}

/// Makes a directory unless it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MakeDirectory {
    pub path: String,
    pub owner: Option<String>,
}

/// One line of history that this build adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub created_by: String,
    /// The operation whose layer this is; `None` if only the configuration changed.
    pub operation: Option<OperationId>,
}
