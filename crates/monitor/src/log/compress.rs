//! Compressing the files of a log that are full, beside the monitor that writes it.

use std::{
    fs::{self, File},
    io::{self, BufReader},
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
};

use flate2::{Compression, GzBuilder, bufread::GzDecoder};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use sys::process::{Fork, Namespaces};

use super::{compressed, exists, numbered};

/// `argv[0]` of a process that compresses the files of a log; the newest one's path follows.
pub const COMPRESSION_ROLE: &str = "sampan-compress";

/// Starts a process that does it. It is nobody's business how long that takes, so it is nobody's child for long.
pub(super) fn start(path: &Path) -> io::Result<()> {
    Command::new("/proc/self/exe")
        .arg0(COMPRESSION_ROLE)
        .arg(path)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map(drop)
}

/// Plays the role: leaves the compressing to another process, so that whoever started this one need not wait.
pub fn detach_and_compress(path: &Path) -> io::Result<()> {
    match sys::process::fork(Namespaces::NONE, None)? {
        Fork::Parent(_) => Ok(()),
        Fork::Child => {
            // Whoever waits for processors comes first.
            let _ = rustix::process::nice(19);
            compress(path)
        }
    }
}

/// Compresses what is full of the log whose newest file is at `path`, unless somebody does that already.
pub fn compress(path: &Path) -> io::Result<()> {
    let partial = path.with_added_extension("gz");
    loop {
        let output = File::options().create(true).write(true).truncate(false).open(&partial)?;
        match flock(&output, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::AGAIN) => return Ok(()),
            locked => locked?,
        }
        // Whoever had it before may have been done with it, and have renamed it.
        if !fs::metadata(&partial)
            .is_ok_and(|now| output.metadata().is_ok_and(|ours| ours.ino() == now.ino()))
        {
            continue;
        }
        match next(path)
            .and_then(|source| source.map(|source| replace(path, source, &partial, &output)).transpose())
        {
            Ok(Some(())) => {}
            Ok(None) => return fs::remove_file(&partial),
            Err(error) => {
                // The first thing that went wrong is the one to tell of.
                let _ = fs::remove_file(&partial);
                return Err(error);
            }
        }
    }
}

/// Compresses `source` into `output`, and has that replace it.
fn replace(path: &Path, mut source: File, partial: &Path, output: &File) -> io::Result<()> {
    output.set_len(0)?;
    let inode = source.metadata()?.ino();
    // Tells a reader that has read the file which one this was.
    let header = GzBuilder::new().comment(inode.to_string());
    let mut encoder = header.write(output, Compression::fast());
    io::copy(&mut source, &mut encoder)?;
    encoder.finish()?;
    let _turn = turn(path)?;
    let is_it = |number: &u32| fs::metadata(numbered(path, *number)).is_ok_and(|file| file.ino() == inode);
    match (1..).take_while(|number| exists(path, *number)).find(is_it) {
        Some(number) => {
            fs::rename(partial, compressed(path, number))?;
            fs::remove_file(numbered(path, number))
        }
        // It has become too old meanwhile.
        None => fs::remove_file(partial),
    }
}

/// The newest file that is full and not compressed.
fn next(path: &Path) -> io::Result<Option<File>> {
    for number in (1..).take_while(|number| exists(path, *number)) {
        match File::open(numbered(path, number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => return file.map(Some),
        }
    }
    Ok(None)
}

/// The inode of the file that `compressed` was made from; 0 if it does not say.
pub(super) fn origin(compressed: &File) -> u64 {
    let decoder = GzDecoder::new(BufReader::new(compressed));
    let comment = decoder.header().and_then(|header| header.comment());
    let comment = comment.and_then(|comment| std::str::from_utf8(comment).ok());
    comment.and_then(|inode| inode.parse().ok()).unwrap_or(0)
}

/// The right to rename the files of a log, for as long as it is kept.
pub(super) fn turn(path: &Path) -> io::Result<OwnedFd> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let directory =
        rustix::fs::open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::retry_on_intr(|| flock(&directory, FlockOperation::LockExclusive))?;
    Ok(directory)
}
