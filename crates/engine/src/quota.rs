//! How much a directory of the engine's may hold: quotas of projects, where the file system keeps them.
//!
//! Each directory that is limited has a project of its own, or shares one with others that are limited together. The
//! numbers are drawn from the directories' paths; one that has files is taken.

use std::{fs::File, io, os::fd::AsFd, path::Path};

use types::Digest;

/// Whether what is in `directory` can be limited.
pub fn is_supported(directory: &Path) -> bool {
    File::open(directory).is_ok_and(|directory| sys::quota::is_enforced(directory.as_fd()))
}

/// Has `directories`, which are empty and on one file system, hold at most this much together. `root` is locked
/// meanwhile, so that nobody else takes the same project.
pub fn limit(root: &Path, directories: &[&Path], bytes: u64) -> io::Result<()> {
    let opened = directories.iter().map(File::open).collect::<io::Result<Vec<_>>>()?;
    let (Some(path), Some(first)) = (directories.first(), opened.first()) else { return Ok(()) };
    let root = File::open(root)?;
    root.lock()?;
    let project = free_project(path, first)?;
    sys::quota::limit(first.as_fd(), project, bytes)?;
    opened.iter().try_for_each(|directory| sys::quota::join(directory.as_fd(), project))
}

fn free_project(path: &Path, file: &File) -> io::Result<u32> {
    let drawn = Digest::of(path.as_os_str().as_encoded_bytes()).hex();
    let drawn = u32::from_str_radix(&drawn[..8], 16).map_err(io::Error::other)?;
    for step in 0..TRIES {
        // Apart from the small numbers that people choose, and from the largest, which some tools take for none.
        let project = 1 << 30 | (drawn.wrapping_add(step) & ((1 << 30) - 1));
        if sys::quota::usage(file.as_fd(), project)?.files == 0 {
            return Ok(project);
        }
    }
    Err(io::Error::other("no project is free"))
}

/// How many projects are tried before there is something wrong.
const TRIES: u32 = 1000;
