//! Brings the context here, wherever it is.

use std::{
    fs,
    io::{self, Cursor, Read, Seek},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

use image::{
    archive,
    tree::{Links, Root},
};

use super::{ContextSource, InputError, dockerfile::read_text};
use crate::{
    cache::Cache,
    event::Task,
    progress::Progress,
    remote::{
        RemoteError, Remotes,
        git::{GitReference, Mirror, Wanted},
        url::Url,
    },
    scratch::Scratch,
};

/// A context that is here.
pub struct Arrived {
    pub directory: PathBuf,
    /// Tells it from others, also when it comes again.
    pub identity: String,
    /// It was no context but a Dockerfile, with this text: the context is empty, or is that file.
    pub text: Option<String>,
    /// It came as an archive, whose files keep the owners and times they have there.
    pub is_archive: bool,
    /// When the commit that it is was made, in seconds since 1970.
    pub commit_date: Option<i64>,
    /// Holds what was not here before.
    pub scratch: Option<Scratch>,
}

/// How contexts get here.
#[derive(Clone, Copy)]
pub struct Courier<'a, 'p> {
    pub cache: &'a Cache,
    pub remotes: &'a Remotes,
    pub progress: &'a Progress<'p>,
    /// The context's repository stays in it: `BUILDKIT_CONTEXT_KEEP_GIT_DIR`.
    pub keep_git_dir: bool,
}

impl Courier<'_, '_> {
    pub fn bring(&self, source: ContextSource) -> Result<Arrived, InputError> {
        match source {
            ContextSource::Directory(path) => {
                let directory = path.canonicalize().map_err(|source| InputError::Context { path, source })?;
                let identity = directory.display().to_string();
                Ok(Arrived {
                    directory,
                    identity,
                    text: None,
                    is_archive: false,
                    commit_date: None,
                    scratch: None,
                })
            }
            ContextSource::Stream(stream) => {
                self.progress.task(&Task::ReadContext, || self.unpack(stream, "-".to_owned()))
            }
            ContextSource::Git(reference) => {
                let task = Task::Load { what: format!("git source {reference}") };
                self.progress.task(&task, || self.clone(&reference))
            }
            ContextSource::Url(url) => {
                let task = Task::Load { what: "remote build context".to_owned() };
                self.progress.task(&task, || self.download(&url))
            }
        }
    }

    fn clone(&self, reference: &GitReference) -> Result<Arrived, InputError> {
        let scratch = self.scratch()?;
        let place = scratch.directory("repository").map_err(|source| self.unusable(source))?;
        let mirror = Mirror::open(reference, self.cache, &self.remotes.git).map_err(RemoteError::from)?;
        let revision = mirror.resolve().map_err(RemoteError::from)?;
        let wanted = Wanted {
            keep_git_dir: reference.keep_git_dir.unwrap_or(self.keep_git_dir),
            submodules: reference.submodules.unwrap_or(true),
        };
        let directory = mirror.check_out(&revision, wanted, &place).map_err(RemoteError::from)?;
        let commit_date = Some(mirror.commit_time(&revision).map_err(RemoteError::from)?);
        let identity = reference.to_string();
        Ok(Arrived {
            directory,
            identity,
            text: None,
            is_archive: false,
            commit_date,
            scratch: Some(scratch),
        })
    }

    /// An archive is unpacked. Anything else is a Dockerfile, and all of its context.
    fn download(&self, url: &Url) -> Result<Arrived, InputError> {
        let mut download = self.remotes.downloads.get(url, None, self.cache).map_err(RemoteError::from)?;
        let read = |source| self.unusable(source);
        let is_archive = archive::is_archive(&download.file);
        download.file.rewind().map_err(read)?;
        if is_archive {
            return self.unpack(Box::new(download.file), url.to_string());
        }
        let text = read_text(&download.file, &url.to_string())?;
        let (directory, scratch) = self.keep(url)?;
        let identity = url.to_string();
        Ok(Arrived {
            directory,
            identity,
            text: Some(text),
            is_archive: false,
            commit_date: None,
            scratch: Some(scratch),
        })
    }

    /// A directory with what a server has, as a file called `context`.
    pub fn keep(&self, url: &Url) -> Result<(PathBuf, Scratch), InputError> {
        let mut download = self.remotes.downloads.get(url, None, self.cache).map_err(RemoteError::from)?;
        let scratch = self.scratch()?;
        let failed = |source| self.unusable(source);
        let directory = scratch.directory("context").map_err(failed)?;
        let path = directory.join("context");
        let mut file = fs::File::create(&path).map_err(failed)?;
        io::copy(&mut download.file, &mut file).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok((directory, scratch))
    }

    /// Unpacks a context that comes as a stream; or takes the stream for the Dockerfile, if it is no archive.
    fn unpack(&self, mut stream: Box<dyn Read>, identity: String) -> Result<Arrived, InputError> {
        let failed = |source| self.unusable(source);
        let scratch = self.scratch()?;
        let directory = scratch.directory("context").map_err(failed)?;
        let mut start = Vec::new();
        stream.by_ref().take(ENOUGH_TO_TELL).read_to_end(&mut start).map_err(failed)?;
        let is_archive = archive::is_archive(start.as_slice());
        let whole = Cursor::new(start).chain(stream);
        let text = match is_archive {
            true => {
                let root = Root::open(&directory, Links::Refused).map_err(failed)?;
                // Only root can give files away.
                let owner = match rustix::process::geteuid().is_root() {
                    true => None,
                    false => Some(scratch.owner().map_err(failed)?),
                };
                archive::extract(whole, &root, owner)?;
                None
            }
            false => Some(read_text(whole, "-")?),
        };
        Ok(Arrived { directory, identity, text, is_archive, commit_date: None, scratch: Some(scratch) })
    }

    fn scratch(&self) -> Result<Scratch, InputError> {
        Scratch::new(&self.cache.scratch_path()).map_err(|source| self.unusable(source))
    }

    fn unusable(&self, source: io::Error) -> InputError {
        InputError::Context { path: self.cache.scratch_path(), source }
    }
}

/// How much of a stream shows whether it is an archive, in bytes.
const ENOUGH_TO_TELL: u64 = 64 << 10;
