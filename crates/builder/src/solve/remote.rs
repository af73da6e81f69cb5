//! Sources of ADD that are elsewhere: what they have at the moment, and their files.

use std::{
    fs::File,
    io::{self, Seek},
    path::{Path, PathBuf},
};

use types::Digest;

use crate::{
    cache::Cache,
    context::{Context, Index},
    graph::{Copy, GitSource, Source},
    ignore::Ignore,
    remote::{
        RemoteError, Remotes,
        git::{Mirror, Revision, Wanted},
        http::Download,
    },
    scratch::Scratch,
};

/// What a source has at the moment, as far as the key of a step needs it.
pub enum Arrival {
    File(Download),
    /// Its files are fetched when they are needed.
    Revision(Revision),
}

/// Asks for all sources of `copy` that are elsewhere; the answer has something for each of those.
pub fn ask(copy: &Copy, remotes: &Remotes, cache: &Cache) -> Result<Vec<Option<Arrival>>, RemoteError> {
    let ask = |source: &Source| match source {
        Source::Files(_) | Source::Inline { .. } => Ok(None),
        Source::Url(source) => {
            let file = remotes.downloads.get(&source.url, source.checksum.as_ref(), cache)?;
            Ok(Some(Arrival::File(file)))
        }
        Source::Git(source) => {
            let mirror = Mirror::open(&source.reference, cache, &remotes.git)?;
            Ok(Some(Arrival::Revision(mirror.resolve()?)))
        }
    };
    copy.sources.iter().map(ask).collect()
}

/// What of it is part of the key, by the name under which a change is told.
pub fn known_by(source: &Source, arrival: &Arrival) -> Option<(String, Digest)> {
    match (source, arrival) {
        (Source::Url(source), Arrival::File(file)) => Some((source.url.to_string(), file.digest)),
        (Source::Git(source), Arrival::Revision(revision)) => {
            // A tag that is kept is one more file.
            let object = if source.keep_git_dir { &revision.object } else { &revision.commit };
            let known = format!("{object} {:?}", revision.name.as_ref().filter(|_| source.keep_git_dir));
            Some((source.reference.to_string(), Digest::of(known.as_bytes())))
        }
        _ => None,
    }
}

impl Arrival {
    /// When it was changed last, in seconds since 1970, if anybody said so.
    pub fn modified(&self) -> Option<i64> {
        match self {
            Arrival::File(download) => download.modified,
            Arrival::Revision(_) => None,
        }
    }

    /// The file that was downloaded, from its beginning.
    pub fn file(&self) -> Option<io::Result<File>> {
        let Arrival::File(download) = self else { return None };
        let open = || {
            let mut file = download.file.try_clone()?;
            file.rewind()?;
            Ok(file)
        };
        Some(open())
    }
}

/// The files of a repository, as something to copy from; below `scratch`.
pub fn check_out(
    source: &GitSource,
    revision: &Revision,
    remotes: &Remotes,
    cache: &Cache,
    scratch: &Scratch,
) -> Result<Context, RemoteError> {
    let open = |path: &Path| Context::open(path, Ignore::default(), Index::default());
    let place: PathBuf = scratch.unique("repository").map_err(RemoteError::Scratch)?;
    let wanted = Wanted { keep_git_dir: source.keep_git_dir, submodules: source.submodules };
    let mirror = Mirror::open(&source.reference, cache, &remotes.git)?;
    let directory = mirror.check_out(revision, wanted, &place)?;
    open(&directory).map_err(RemoteError::Scratch)
}
