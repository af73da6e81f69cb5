//! What happens during a build, told while it happens.

use std::{fmt, time::Duration};

use types::{Digest, Reference};

use crate::host::Stream;

/// Learns of a build's progress; the program renders it.
pub trait Observer {
    fn event(&mut self, event: Event<'_>);
}

/// A task's number, from 1 in the order in which tasks begin: `#5` in plain progress.
pub type TaskId = usize;

#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// The build is recorded under this name.
    Recorded {
        id: &'a str,
    },
    /// So many tasks are to come that did not begin yet.
    Planned {
        tasks: usize,
    },
    Started {
        id: TaskId,
        task: &'a Task,
    },
    /// The task's result was there already. [`Event::Finished`] does not follow.
    Cached {
        id: TaskId,
    },
    /// A step has to be carried out, and why.
    Missed {
        id: TaskId,
        reason: &'a str,
    },
    Output {
        id: TaskId,
        stream: Stream,
        bytes: &'a [u8],
    },
    Finished {
        id: TaskId,
        elapsed: Duration,
    },
    Failed {
        id: TaskId,
        error: &'a str,
    },
    /// The task was ended because another one failed, or nobody wants the result any more.
    Canceled {
        id: TaskId,
    },
    /// A part of a task is done, such as `exporting layers`.
    Part {
        id: TaskId,
        name: &'a str,
    },
    /// The image is stored.
    Written {
        id: TaskId,
        image: Digest,
    },
    Named {
        id: TaskId,
        name: &'a Reference,
    },
    /// A registry has it under this name.
    Pushed {
        id: TaskId,
        name: &'a Reference,
    },
    Warning(&'a str),
}

/// A piece of work. Displays as docker's plain progress names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    ReadDockerfile {
        name: String,
    },
    ReadIgnoreFile,
    /// Looks a base image up, here or at its registry.
    FindImage {
        name: Reference,
    },
    ReadContext,
    /// Reading what a cache outside knows.
    ImportCache {
        from: String,
    },
    /// Writing a cache outside.
    ExportCache {
        to: &'static str,
    },
    /// Something is brought here that is elsewhere: a context, a Dockerfile.
    Load {
        what: String,
    },
    /// A step that changes a file system, or an image to begin with. `label` tells where it is counted:
    /// `[build 2/5] `, or nothing.
    Step {
        label: String,
        title: String,
    },
    Export(Exporter),
}

/// What a result is exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exporter {
    Image,
    Oci,
    Docker,
    Tar,
    Local,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Task::ReadDockerfile { name } => write!(f, "[internal] load build definition from {name}"),
            Task::ReadIgnoreFile => write!(f, "[internal] load .dockerignore"),
            Task::FindImage { name } => write!(f, "[internal] load metadata for {name}"),
            Task::ReadContext => write!(f, "[internal] load build context"),
            Task::Load { what } => write!(f, "[internal] load {what}"),
            Task::Step { label, title } => write!(f, "{label}{title}"),
            Task::ImportCache { from } => write!(f, "importing cache manifest from {from}"),
            Task::ExportCache { to } => write!(f, "exporting cache to {to}"),
            Task::Export(exporter) => write!(f, "exporting to {exporter}"),
        }
    }
}

impl fmt::Display for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Exporter::Image => "image",
            Exporter::Oci => "oci image format",
            Exporter::Docker => "docker image format",
            Exporter::Tar => "client tarball",
            Exporter::Local => "client directory",
        })
    }
}
