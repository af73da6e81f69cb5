//! What a build starts from: the Dockerfile's text and the context, from directories or from a stream.

use std::{
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
};

use image::{
    ArchiveError, archive,
    tree::{Links, Root},
};
use types::Digest;

use crate::{
    cache::Cache,
    context::{Context, Index},
    diagnostic::{Diagnostic, Problem},
    event::Task,
    ignore::{Ignore, InvalidPattern},
    progress::Progress,
    scratch::Scratch,
};

/// Where the context comes from.
pub enum ContextSource {
    Directory(PathBuf),
    /// A tar archive, compressed or not; or a Dockerfile, with an empty context: `build -`.
    Stream(Box<dyn Read>),
}

/// Where the Dockerfile comes from.
pub enum DockerfileSource {
    /// `Dockerfile`, or else `Containerfile`, in the context.
    Default,
    /// A path for the caller's own directory; for a context that is a stream, a path in it.
    Path(PathBuf),
    /// `-f -`.
    Stream(Box<dyn Read>),
}

/// Why a build cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("failed to read dockerfile: open {name}: no such file or directory")]
    NoDockerfile { name: String },
    #[error("the Dockerfile {0} cannot be empty")]
    Empty(String),
    #[error("the Dockerfile {0} is larger than 1 MiB")]
    TooLarge(String),
    #[error("the Dockerfile {0} is not UTF-8")]
    NotText(String),
    #[error("both the Dockerfile and the context are to be read from standard input")]
    BothStreams,
    #[error("cannot open the build context {path}", path = path.display())]
    Context { path: PathBuf, source: io::Error },
    #[error("cannot read {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{file}: {error}")]
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
    /// Tells this pair of Dockerfile and context from others.
    pub identity: Digest,
    /// Holds a context that came as a stream.
    _unpacked: Option<Scratch>,
}

impl Input {
    pub fn read(
        context: ContextSource,
        dockerfile: DockerfileSource,
        cache: &Cache,
        progress: &Progress<'_>,
    ) -> Result<Input, InputError> {
        let (directory, unpacked, text) = match context {
            ContextSource::Directory(directory) => match directory.canonicalize() {
                Ok(directory) => (directory, None, None),
                Err(source) => return Err(InputError::Context { path: directory, source }),
            },
            ContextSource::Stream(_) if matches!(dockerfile, DockerfileSource::Stream(_)) => {
                return Err(InputError::BothStreams);
            }
            ContextSource::Stream(stream) => {
                let task = Task::ReadContext;
                let (scratch, directory, text) = progress.task(&task, || receive(stream, cache))?;
                (directory, Some(scratch), text)
            }
        };
        let root = Root::open(&directory, Links::StayInside)
            .map_err(|source| InputError::Context { path: directory.clone(), source })?;
        let found = match (text, dockerfile) {
            (Some(text), _) => Dockerfile { name: "Dockerfile".into(), text: Some(text), beside: None },
            (None, DockerfileSource::Default) => Dockerfile::default(&root)?,
            (None, DockerfileSource::Path(path)) => Dockerfile::at(&path, &directory, unpacked.is_some())?,
            (None, DockerfileSource::Stream(stream)) => {
                let text = read_text(stream, "-")?;
                Dockerfile { name: "Dockerfile".into(), text: Some(text), beside: None }
            }
        };
        let task = Task::ReadDockerfile { name: found.name.clone() };
        let text = progress.task(&task, || found.read(&root))?;
        let ignore = progress.task(&Task::ReadIgnoreFile, || found.ignore(&root))?;

        // A stream's directory is another every time; its files are not worth remembering.
        let place = match unpacked {
            Some(_) => PathBuf::from("-"),
            None => directory.clone(),
        };
        let index = match unpacked {
            Some(_) => Index::default(),
            None => Index::load(&cache.index_path(&Digest::of(place.as_os_str().as_encoded_bytes()))),
        };
        let identity = format!("{}\0{}", place.display(), found.name);
        let context = Context::open(&directory, ignore, index)
            .map_err(|source| InputError::Context { path: directory.clone(), source })?;
        Ok(Input {
            file: found.name,
            text,
            context,
            directory,
            identity: Digest::of(identity.as_bytes()),
            _unpacked: unpacked,
        })
    }

    pub fn diagnostic(&self, problem: Problem) -> Box<Diagnostic> {
        Box::new(Diagnostic { file: self.file.clone(), source: self.text.clone(), problem })
    }
}

/// A Dockerfile that was found.
struct Dockerfile {
    name: String,
    /// Its text, if it did not come from a file.
    text: Option<String>,
    /// The file, and whether it is outside the context.
    beside: Option<Location>,
}

enum Location {
    InContext(PathBuf),
    Outside(PathBuf),
}

impl Dockerfile {
    fn default(root: &Root) -> Result<Dockerfile, InputError> {
        let known = ["Dockerfile", "Containerfile", "dockerfile"];
        match known.into_iter().find(|name| root.stat(Path::new(name)).is_ok()) {
            Some(name) => {
                let beside = Some(Location::InContext(name.into()));
                Ok(Dockerfile { name: name.into(), text: None, beside })
            }
            None => Err(InputError::NoDockerfile { name: "Dockerfile".into() }),
        }
    }

    /// A file in the context is opened as such, so that no link in it leads outside.
    fn at(path: &Path, context: &Path, in_stream: bool) -> Result<Dockerfile, InputError> {
        let name = path.display().to_string();
        let inside = match in_stream {
            true => Some(path.to_owned()),
            false => {
                let parent =
                    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
                let (parent, context) = (parent.canonicalize().ok(), context.canonicalize().ok());
                let below = parent
                    .zip(context)
                    .and_then(|(parent, context)| parent.strip_prefix(context).map(Path::to_owned).ok());
                below.zip(path.file_name()).map(|(below, name)| below.join(name))
            }
        };
        let beside = match inside {
            Some(inside) => Location::InContext(inside),
            None => Location::Outside(path.to_owned()),
        };
        Ok(Dockerfile { name, text: None, beside: Some(beside) })
    }

    fn read(&self, root: &Root) -> Result<String, InputError> {
        let text = match (&self.text, &self.beside) {
            (Some(text), _) => text.clone(),
            (None, Some(location)) => {
                let file = location.open(root, "").map_err(|source| match source.kind() {
                    io::ErrorKind::NotFound => InputError::NoDockerfile { name: self.name.clone() },
                    _ => InputError::Read { path: self.name.clone().into(), source },
                })?;
                read_text(file, &self.name)?
            }
            (None, None) => String::new(),
        };
        match text.trim().is_empty() {
            true => Err(InputError::Empty(self.name.clone())),
            false => Ok(text),
        }
    }

    /// `<Dockerfile>.dockerignore` beside the Dockerfile, or else `.dockerignore` in the context.
    fn ignore(&self, root: &Root) -> Result<Ignore, InputError> {
        let own = self.beside.as_ref().map(|location| (location, ".dockerignore"));
        let shared = Location::InContext(".dockerignore".into());
        for (location, suffix) in own.into_iter().chain([(&shared, "")]) {
            let path = location.path(suffix);
            match location.open(root, suffix) {
                Ok(file) => {
                    let file_name = path.display().to_string();
                    let text = read_text(file, &file_name)?;
                    return Ignore::parse(&text)
                        .map_err(|error| InputError::Ignore { file: file_name, error });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(InputError::Read { path, source }),
            }
        }
        Ok(Ignore::default())
    }
}

impl Location {
    fn path(&self, suffix: &str) -> PathBuf {
        let (Location::InContext(path) | Location::Outside(path)) = self;
        let mut path = path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    fn open(&self, root: &Root, suffix: &str) -> io::Result<std::fs::File> {
        let path = self.path(suffix);
        match self {
            Location::InContext(_) => root.file(&path),
            Location::Outside(_) => std::fs::File::open(path),
        }
    }
}

/// Unpacks a context that comes as a stream; or takes the stream for the Dockerfile, if it is no archive.
fn receive(
    mut stream: Box<dyn Read>,
    cache: &Cache,
) -> Result<(Scratch, PathBuf, Option<String>), InputError> {
    let place = cache.scratch_path();
    let failed = |source| InputError::Context { path: place.clone(), source };
    let scratch = Scratch::new(&place).map_err(failed)?;
    let directory = scratch.directory("context").map_err(failed)?;
    let mut start = Vec::new();
    stream.by_ref().take(ENOUGH_TO_TELL).read_to_end(&mut start).map_err(failed)?;
    let is_archive = archive::is_archive(start.as_slice());
    let whole = Cursor::new(start).chain(stream);
    if !is_archive {
        let text = read_text(whole, "-")?;
        return Ok((scratch, directory, Some(text)));
    }
    let root = Root::open(&directory, Links::Refused).map_err(failed)?;
    // Whoever owns the files in the archive: in the image they will be root's.
    archive::extract(whole, &root, Some(scratch.owner().map_err(failed)?))?;
    Ok((scratch, directory, None))
}

fn read_text(file: impl Read, name: &str) -> Result<String, InputError> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| InputError::Read { path: name.into(), source })?;
    if bytes.len() as u64 > LARGEST {
        return Err(InputError::TooLarge(name.to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| InputError::NotText(name.to_owned()))
}

/// What a Dockerfile or an ignore file may measure, in bytes.
const LARGEST: u64 = 1 << 20;

/// How much of a stream shows whether it is an archive, in bytes.
const ENOUGH_TO_TELL: u64 = 64 << 10;
