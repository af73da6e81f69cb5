//! A file's bytes as a stream. What the kernel has in memory is taken at once; for the disk a thread waits.

use std::{
    fs::File,
    io::IoSliceMut,
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::stream;
use rustix::io::{Errno, ReadWriteFlags, preadv2, retry_on_intr};
use tokio::task::spawn_blocking;

use super::disk::{FAILED, io};
use crate::storage::{ByteStream, StorageError};

/// The bytes of `file` within `range`, in pieces that share one buffer if each is dropped before the next is asked for.
pub fn stream(file: File, path: PathBuf, range: Range<u64>) -> ByteStream {
    let reader = Arc::new(Reader { file, path, spare: Mutex::default() });
    Box::pin(stream::unfold(Some((reader, range)), |state| async {
        let (reader, range) = state?;
        if range.is_empty() {
            return None;
        }
        let read = match reader.piece(&range, ReadWriteFlags::NOWAIT) {
            Err(Errno::AGAIN | Errno::OPNOTSUPP) => {
                let (reader, range) = (Arc::clone(&reader), range.clone());
                let wait = move || reader.piece(&range, ReadWriteFlags::empty());
                spawn_blocking(wait).await.expect(FAILED)
            }
            read => read,
        };
        match read {
            // Blobs do not shrink: this one was damaged from outside.
            Ok(piece) if piece.is_empty() => {
                Some((Err(StorageError::Damaged(reader.path.display().to_string())), None))
            }
            Ok(piece) => {
                let rest = range.start + piece.len() as u64..range.end;
                Some((Ok(piece), Some((reader, rest))))
            }
            Err(error) => Some((Err(io("read", &reader.path)(error.into())), None)),
        }
    }))
}

struct Reader {
    file: File,
    path: PathBuf,
    /// A buffer that a piece was in.
    spare: Mutex<Option<Box<[u8]>>>,
}

impl Reader {
    /// As much as there is of the range's begin.
    fn piece(self: &Arc<Self>, range: &Range<u64>, flags: ReadWriteFlags) -> Result<Bytes, Errno> {
        let length = usize::try_from(range.end - range.start).unwrap_or(PIECE).min(PIECE);
        // One from before is as long at least.
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let buffer = spare.unwrap_or_else(|| vec![0; length].into());
        let mut piece = Piece { buffer, length: 0, reader: Arc::clone(self) };
        let buffer = &mut piece.buffer[..length];
        piece.length =
            retry_on_intr(|| preadv2(&self.file, &mut [IoSliceMut::new(buffer)], range.start, flags))?;
        Ok(Bytes::from_owner(piece))
    }
}

/// A buffer that returns to its reader.
struct Piece {
    buffer: Box<[u8]>,
    length: usize,
    reader: Arc<Reader>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        *self.reader.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(buffer);
    }
}

/// Small enough to be in a processor's cache from when it is read until it is sent.
const PIECE: usize = 128 << 10;
