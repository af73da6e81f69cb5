//! What a build starts from: the Dockerfile's text and the context, from directories or from a stream.

mod context;
mod dockerfile;
mod named;
mod source;

use std::{io, path::PathBuf};

use image::{
    ArchiveError,
    tree::{Links, Root},
};
use types::Digest;

pub use context::Courier;
pub use named::{NamedContext, NamedFiles, NamedPlaces, Opened};
pub use source::{ContextSource, DockerfileSource};

use self::{
    context::Arrived,
    dockerfile::{Dockerfile, read_text},
};
use crate::{
    context::{Context, Index},
    diagnostic::{Diagnostic, Problem},
    event::Task,
    ignore::{Ignore, InvalidPattern},
    remote::{RemoteError, layout::LayoutError, url},
    scratch::Scratch,
};

/// Why a build cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("failed to read dockerfile: open {name}: no such file or directory")]
    NoDockerfile { name: String },
    #[error("the Dockerfile cannot be empty")]
    Empty(String),
    #[error("the Dockerfile {0} is larger than 1 MiB")]
    TooLarge(String),
    #[error("the Dockerfile {0} is not UTF-8")]
    NotText(String),
    #[error("invalid argument: can't use stdin for both build context and dockerfile")]
    BothStreams,
    /// What was to be the context is a Dockerfile, and another one is named.
    #[error("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles")]
    TwoDockerfiles,
    #[error("please specify build context (e.g. \".\" for the current directory)")]
    NoContext,
    #[error("unable to prepare context: path {0:?} not found")]
    NotFound(String),
    #[error("cannot use {text}: {reason}", text = url::redacted(text))]
    Invalid { text: String, reason: String },
    /// `--build-context` makes no sense.
    #[error("{reason}")]
    InvalidName { text: String, reason: String },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error("cannot open the build context {path}", path = path.display())]
    Context { path: PathBuf, source: io::Error },
    #[error("cannot read {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{error}")]
    Ignore { file: String, error: InvalidPattern },
    #[error("cannot unpack the build context")]
    Unpack(#[from] ArchiveError),
}

/// Everything a build starts from.
pub struct Input {
    /// The Dockerfile's name, as messages give it.
    pub file: String,
    pub text: String,
    pub context: Context,
    /// Where the context is, unpacked if it came as a stream.
    pub directory: PathBuf,
    /// When the commit that the context is was made, in seconds since 1970.
    pub commit_date: Option<i64>,
    /// Tells this pair of Dockerfile and context from others.
    pub identity: Digest,
    /// Holds a context that came as a stream.
    _unpacked: Option<Scratch>,
}

impl Input {
    pub fn read(
        context: ContextSource,
        dockerfile: DockerfileSource,
        courier: &Courier<'_, '_>,
    ) -> Result<Input, InputError> {
        let is_stream = matches!(context, ContextSource::Stream(_));
        if is_stream && matches!(dockerfile, DockerfileSource::Stream(_)) {
            return Err(InputError::BothStreams);
        }
        let Courier { cache, remotes, progress, .. } = *courier;
        let Arrived { directory, identity, text, is_archive, commit_date, scratch } =
            courier.bring(context)?;
        let unusable = |source| InputError::Context { path: directory.clone(), source };
        let root = Root::open(&directory, Links::StayInside).map_err(unusable)?;
        let is_elsewhere = scratch.is_some();
        let found = match (dockerfile, text) {
            (DockerfileSource::Default, None) => Dockerfile::default(&root)?,
            (DockerfileSource::Default, Some(text)) => Dockerfile::of_text("Dockerfile", text),
            (_, Some(_)) if is_stream => return Err(InputError::TwoDockerfiles),
            (DockerfileSource::Path(path), Some(text)) if !path.is_absolute() => {
                Dockerfile::of_text("Dockerfile", text)
            }
            (DockerfileSource::Path(path), _) => {
                // What a stream brings has no path of its own outside.
                let is_inside = is_elsewhere && (is_stream || !path.is_absolute());
                Dockerfile::at(&path, &directory, is_inside)?
            }
            (DockerfileSource::Stream(stream), _) => {
                Dockerfile::of_text("Dockerfile", read_text(stream, "-")?)
            }
            (DockerfileSource::Url(url), _) => {
                let task = Task::Load { what: url.to_string() };
                let read = || -> Result<String, InputError> {
                    let download = remotes.downloads.get(&url, None, cache).map_err(RemoteError::from)?;
                    read_text(download.file, &url.to_string())
                };
                Dockerfile::of_text("Dockerfile", progress.task(&task, read)?)
            }
        };
        let task = Task::ReadDockerfile { name: found.name.clone() };
        let text = progress.task(&task, || found.read(&root))?;
        // What comes from elsewhere is taken as it is, as docker does: whoever packed it has left out what is left out.
        let ignore = match is_elsewhere {
            true => Ignore::default(),
            false => progress.task(&Task::ReadIgnoreFile, || found.ignore(&root))?,
        };
        // A directory of ours is another every time; its files are not worth remembering.
        let index = match is_elsewhere {
            true => Index::default(),
            false => Index::load(&cache.index_path(&Digest::of(identity.as_bytes()))),
        };
        let identity = Digest::of(format!("{identity}\0{}", found.name).as_bytes());
        let mut context = Context::open(&directory, ignore, index).map_err(unusable)?;
        context.keeps_owners = is_archive;
        let file = found.name;
        Ok(Input { file, text, context, directory, commit_date, identity, _unpacked: scratch })
    }

    pub fn diagnostic(&self, problem: Problem) -> Box<Diagnostic> {
        Box::new(Diagnostic { file: self.file.clone(), source: self.text.clone(), problem })
    }
}
