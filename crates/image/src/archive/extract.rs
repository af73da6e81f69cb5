//! Files from an archive into a tree that has some already, as ADD and `cp` do.

use std::io::{BufReader, Read};

use super::ArchiveError;
use crate::{
    compression,
    hashed::BUFFER,
    layer::{Form, unpack},
    tarball::Reader,
    tree::{Owner, Root},
};

/// Whether `source` begins as a tar archive does, compressed or not. An empty one is not taken for one.
pub fn is_archive(source: impl Read) -> bool {
    let Ok((_, plain)) = compression::decode(BufReader::new(source)) else { return false };
    matches!(Reader::new(BufReader::new(plain)).next_entry(), Ok(Some(_)))
}

/// Unpacks an archive, which may be compressed, below `root`, following the tree's own links as a process in
/// it would. All files are owned by `owner` if one is given.
pub fn extract(source: impl Read, root: &Root, owner: Option<Owner>) -> Result<(), ArchiveError> {
    let source = BufReader::with_capacity(BUFFER, source);
    let (_, plain) = compression::decode(source).map_err(ArchiveError::Read)?;
    let mut archive = Reader::new(BufReader::with_capacity(BUFFER, plain));
    unpack(&mut archive, root, Form::Files { owner })?;
    Ok(())
}

/// Unpacks an archive, which may be compressed, in `root`, over what is there and without following its links. All files
/// are owned by `owner` if one is given. See [`Form::Copy`].
pub fn copy_in(source: impl Read, root: &Root, owner: Option<Owner>) -> Result<(), ArchiveError> {
    let source = BufReader::with_capacity(BUFFER, source);
    let (_, plain) = compression::decode(source).map_err(ArchiveError::Read)?;
    let mut archive = Reader::new(BufReader::with_capacity(BUFFER, plain));
    root.owners()
        .as_root(|| unpack(&mut archive, root, Form::Copy { owner }))
        .map_err(ArchiveError::Write)??;
    Ok(())
}
