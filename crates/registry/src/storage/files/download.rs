//! A file's bytes as a stream: while one piece is sent, the next is read.

use std::{fs::File, ops::Range, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures_util::stream;
use rustix::{buffer::spare_capacity, io::pread};
use tokio::task::{JoinHandle, spawn_blocking};

use super::disk::{FAILED, io};
use crate::storage::{ByteStream, StorageError};

/// The bytes of `file` within `range`. Never holds more than two pieces.
pub fn stream(file: File, path: PathBuf, range: Range<u64>) -> ByteStream {
    let reader = Arc::new(Reader { file, path });
    let ahead = reader.read(range);
    Box::pin(stream::unfold(Some((reader, ahead)), |state| async {
        let (reader, ahead) = state?;
        match ahead.await.expect(FAILED) {
            Ok(None) => None,
            Ok(Some((piece, rest))) => {
                let ahead = reader.read(rest);
                Some((Ok(piece), Some((reader, ahead))))
            }
            Err(error) => Some((Err(error), None)),
        }
    }))
}

struct Reader {
    file: File,
    path: PathBuf,
}

/// A piece, and what is left after it.
type Piece = Option<(Bytes, Range<u64>)>;

impl Reader {
    fn read(self: &Arc<Self>, range: Range<u64>) -> JoinHandle<Result<Piece, StorageError>> {
        let reader = Arc::clone(self);
        spawn_blocking(move || reader.piece(range))
    }

    fn piece(&self, range: Range<u64>) -> Result<Piece, StorageError> {
        let length = range.end.saturating_sub(range.start).min(PIECE);
        if length == 0 {
            return Ok(None);
        }
        let mut piece = Vec::with_capacity(usize::try_from(length).expect("a piece fits"));
        let read = rustix::io::retry_on_intr(|| pread(&self.file, spare_capacity(&mut piece), range.start))
            .map_err(|error| io("read", &self.path)(error.into()))?;
        // Blobs do not shrink: this one was damaged from outside.
        if read == 0 {
            return Err(StorageError::Damaged(self.path.display().to_string()));
        }
        piece.truncate(usize::try_from(length).expect("a piece fits"));
        let rest = range.start + piece.len() as u64..range.end;
        Ok(Some((Bytes::from(piece), rest)))
    }
}

/// Large enough that switching threads costs little, small enough for hundreds of downloads.
const PIECE: u64 = 256 << 10;
