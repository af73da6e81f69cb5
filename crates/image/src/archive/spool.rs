//! The files of an archive, put aside until it is known what they are: the archive may come through a pipe,
//! and says only at its end, or anywhere, which of them matter.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use types::Digest;

use super::ArchiveError;
use crate::{
    compression,
    hashed::{BUFFER, Copied, Hashed},
    manifest::InvalidDocument,
    pipe::{Flow, pipe},
    store::Lease,
    tarball::{Kind, Reader},
};

/// A file of the archive, in the lease's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    pub path: PathBuf,
    pub digest: Digest,
    pub size: u64,
}

/// All files of an archive by their names.
pub struct Spool {
    files: HashMap<String, Spooled>,
    /// Old archives have equal layers once, and links for the others.
    links: HashMap<String, String>,
}

impl Spool {
    /// Reads the whole archive, compressed or not: inflating and writing go on at once. `written` gets each file
    /// that is complete.
    pub fn read(
        source: impl Read,
        lease: &Lease,
        written: impl Fn(File) + Send,
    ) -> Result<Spool, ArchiveError> {
        let source = BufReader::with_capacity(BUFFER, source);
        let (_, plain) = compression::decode(source).map_err(ArchiveError::Read)?;
        let (read, spool) = pipe(|feed| feed.pump(plain), |flow| Spool::of(flow, lease, written))
            .map_err(ArchiveError::Read)?;
        read.map_err(ArchiveError::Read)?;
        spool
    }

    fn of(plain: Flow, lease: &Lease, written: impl Fn(File)) -> Result<Spool, ArchiveError> {
        let mut archive = Reader::new(plain);
        let mut spool = Spool { files: HashMap::new(), links: HashMap::new() };
        while let Some(entry) = archive.next_entry()? {
            let Some(name) = plain_name(&entry.path) else { continue };
            if spool.files.len() + spool.links.len() >= FILES_LIMIT {
                return Err(ArchiveError::TooManyFiles(FILES_LIMIT));
            }
            match entry.kind {
                Kind::File { .. } if archive.segments().is_none() => {
                    let path = lease.new_path();
                    let file = File::create_new(&path).map_err(ArchiveError::Write)?;
                    let copy = Some(file.try_clone().map_err(ArchiveError::Write)?);
                    let content = Copied { source: archive.content(), copy };
                    let (digest, size) = Hashed::new(content).finish().map_err(ArchiveError::Read)?;
                    written(file);
                    spool.files.insert(name, Spooled { path, digest, size });
                }
                Kind::Symlink { target } => {
                    let target = String::from_utf8_lossy(&target);
                    let directory = Path::new(&name).parent().unwrap_or(Path::new(""));
                    if let Some(target) = resolve(directory, Path::new(&*target)) {
                        spool.links.insert(name, target);
                    }
                }
                Kind::HardLink { target } => {
                    if let Some(target) = plain_name(&target) {
                        spool.links.insert(name, target);
                    }
                }
                _ => {}
            }
        }
        Ok(spool)
    }

    /// The file with this name; one link may lie between.
    pub fn file(&self, name: &str) -> Result<&Spooled, ArchiveError> {
        self.find(name).ok_or_else(|| ArchiveError::Missing(name.to_owned()))
    }

    /// The blob with this digest in the archive's `blobs`, whose content has been hashed.
    pub fn blob(&self, digest: &Digest) -> Result<&Spooled, ArchiveError> {
        let name = format!("blobs/sha256/{}", digest.hex());
        match self.file(&name)? {
            file if file.digest == *digest => Ok(file),
            file => Err(ArchiveError::Damaged { name, actual: file.digest }),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<&Spooled> {
        let name = plain_name(name.as_bytes())?;
        self.files.get(&name).or_else(|| self.files.get(self.links.get(&name)?))
    }
}

impl Spooled {
    /// The content, if it has at most `limit` bytes; `name` is for the error.
    pub fn content(&self, name: &str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if self.size > limit {
            let source = InvalidDocument::TooLarge { limit };
            return Err(ArchiveError::Invalid { name: name.to_owned(), source });
        }
        fs::read(&self.path).map_err(ArchiveError::Read)
    }
}

/// A name without `./` and the like; none for the root and for what is not text.
fn plain_name(path: &[u8]) -> Option<String> {
    resolve(Path::new(""), Path::new(std::str::from_utf8(path).ok()?))
}

/// What `path` names in `directory`, by its text alone; none if it leads outside.
fn resolve(directory: &Path, path: &Path) -> Option<String> {
    use std::path::Component::{CurDir, Normal, ParentDir};
    let mut resolved = PathBuf::new();
    for part in directory.components().chain(path.components()) {
        match part {
            Normal(name) => resolved.push(name),
            ParentDir => resolved.pop().then_some(())?,
            CurDir => {}
            _ => return None,
        }
    }
    resolved.into_os_string().into_string().ok().filter(|name| !name.is_empty())
}

const FILES_LIMIT: usize = 10_000;
