//! A stream between two threads, for a writer that waits for nobody.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
};

/// Both ends. The reader sees the end once the writer is dropped. If it is too slow, the writer gives up, and both ends
/// fail from then on.
pub fn channel() -> (Writer, Reader) {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let given_up = Arc::new(AtomicBool::new(false));
    let writer = Writer { sender, given_up: given_up.clone() };
    (writer, Reader { receiver, given_up, piece: Vec::new(), read: 0 })
}

pub struct Writer {
    sender: SyncSender<Vec<u8>>,
    given_up: Arc<AtomicBool>,
}

pub struct Reader {
    receiver: Receiver<Vec<u8>>,
    given_up: Arc<AtomicBool>,
    piece: Vec<u8>,
    /// How much of the piece was read.
    read: usize,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.given_up.load(Ordering::Relaxed) {
            match self.sender.try_send(bytes.to_vec()) {
                Ok(()) => return Ok(bytes.len()),
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                    self.given_up.store(true, Ordering::Relaxed);
                }
            }
        }
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.piece.len() {
            let next = self.receiver.recv();
            if self.given_up.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            match next {
                Ok(piece) => (self.piece, self.read) = (piece, 0),
                Err(mpsc::RecvError) => return Ok(0),
            }
        }
        let left = &self.piece[self.read..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.read += count;
        Ok(count)
    }
}

/// How many pieces may wait to be read: of a layer, these are some 20 MB.
const WAITING: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_then_it_ends() {
        let (mut writer, mut reader) = channel();
        (0..40u8).try_for_each(|n| writer.write_all(&[n; 1000])).unwrap();
        drop(writer);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, (0..40u8).flat_map(|n| [n; 1000]).collect::<Vec<_>>());
    }

    #[test]
    fn a_writer_does_not_wait_for_a_slow_reader_and_neither_takes_it_for_the_end() {
        let (mut writer, mut reader) = channel();
        let written = (0..=WAITING).try_for_each(|_| writer.write_all(b"x"));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        drop(writer);
        assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn nobody_writes_to_a_reader_that_is_gone() {
        let (mut writer, reader) = channel();
        drop(reader);
        assert_eq!(writer.write_all(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
