//! What a Dockerfile comes to: operations on file systems, and the configuration of the image they end in.
//!
//! Plain data. An operation names what it stands on, so operations of several stages can share one graph.

use image::{Configuration, Image};
use serde::Serialize;

use crate::{diagnostic::Span, host::Network};

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
    /// The instruction as progress shows it.
    pub title: String,
    pub span: Span,
}

impl Operation {
    /// The operations that have to be done before.
    pub fn needs(&self) -> impl Iterator<Item = OperationId> {
        let origin = match &self.action {
            Action::Copy(Copy { from: Origin::State(id), .. }) => Some(*id),
            Action::Copy(_) | Action::Base(_) | Action::Run(_) | Action::MakeDirectory(_) => None,
        };
        self.input.into_iter().chain(origin)
    }
}

/// Where files are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Origin {
    #[default]
    Context,
    /// What an operation came to: a stage's end, or an image.
    State(OperationId),
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    pub arguments: Vec<String>,
    pub environment: Vec<String>,
    pub directory: String,
    pub user: String,
    pub network: Network,
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
    /// Absolute; ends in a slash if it was written so, to say that it is a directory.
    pub destination: String,
    /// `user[:group]`, to be looked up in the image if they are names.
    pub owner: Option<String>,
    pub mode: Option<Mode>,
    /// Archives are unpacked: ADD.
    pub unpack: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Source {
    /// A path or pattern where the files are from.
    Files(String),
    /// The text of a here-document.
    Inline { name: String, content: String },
}

/// Permission bits, set or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mode(pub u32);

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
