//! Walks directories on a thread of its own, as far ahead as its reader allows.

use std::{
    fs, io as stdio,
    path::{Path, PathBuf},
};

use futures_util::stream;
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{disk::io, is_absent};
use crate::storage::{Listed, Listing, StorageError, UploadId};

/// All files below `directory` of `root`, by their paths from `root`, that `name` finds a name for.
pub fn files<T: Send + 'static>(
    root: PathBuf,
    directory: PathBuf,
    name: impl Fn(String) -> Option<T> + Send + 'static,
) -> Listing<Listed<T>> {
    let (found, listing) = mpsc::channel(AHEAD);
    spawn_blocking(move || {
        let mut pending = vec![root.join(directory)];
        while let Some(directory) = pending.pop() {
            let entered = entries(&directory, &found, |entry, metadata| {
                if metadata.is_dir() {
                    pending.push(entry.to_owned());
                    return None;
                }
                name(entry.strip_prefix(&root).ok()?.to_str()?.to_owned())
            });
            if entered.is_break() {
                return;
            }
        }
    });
    stream_of(listing)
}

/// The uploads in `directory`, whose age is that of their data.
pub fn uploads(directory: PathBuf) -> Listing<Listed<UploadId>> {
    let (found, listing) = mpsc::channel(AHEAD);
    spawn_blocking(move || {
        // A session without data was cut short at its beginning or at its end.
        let data = |id: &UploadId| fs::metadata(directory.join(id.as_str()).join("data"));
        let Ok(entries) = fs::read_dir(&directory) else { return };
        for entry in entries.flatten() {
            let Some(name) = entry.file_name().to_str().and_then(|name| name.parse::<UploadId>().ok()) else {
                continue;
            };
            let data = data(&name)
                .or_else(|_| entry.metadata())
                .and_then(|found| Ok((found.modified()?, found.len())));
            let Ok((modified, size)) = data else { continue };
            if found.blocking_send(Ok(Listed { name, modified, size })).is_err() {
                return;
            }
        }
    });
    stream_of(listing)
}

/// Sends what `name` makes of each entry. Breaks when nobody listens any more.
fn entries<T>(
    directory: &Path,
    found: &mpsc::Sender<Result<Listed<T>, StorageError>>,
    mut name: impl FnMut(&Path, &fs::Metadata) -> Option<T>,
) -> std::ops::ControlFlow<()> {
    use std::ops::ControlFlow::{Break, Continue};
    let send = |item| if found.blocking_send(item).is_ok() { Continue(()) } else { Break(()) };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // Removed while we were on the way, or never there.
        Err(error) if is_absent(&error) => return Continue(()),
        Err(error) => return send(Err(io("list", directory)(error))),
    };
    for entry in entries {
        let looked = |entry: stdio::Result<fs::DirEntry>| {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let modified = metadata.modified()?;
            Ok((entry.path(), metadata, modified))
        };
        let item = match looked(entry) {
            Ok((path, metadata, modified)) => match name(&path, &metadata) {
                Some(name) => Ok(Listed { name, modified, size: metadata.len() }),
                None => continue,
            },
            Err(error) if is_absent(&error) => continue,
            Err(error) => Err(io("list", directory)(error)),
        };
        send(item)?;
    }
    Continue(())
}

fn stream_of<T: Send + 'static>(
    listing: mpsc::Receiver<T>,
) -> std::pin::Pin<Box<dyn futures_util::Stream<Item = T> + Send>> {
    Box::pin(stream::unfold(listing, |mut listing| async { Some((listing.recv().await?, listing)) }))
}

/// How many entries are found before anybody asks for them.
const AHEAD: usize = 256;
