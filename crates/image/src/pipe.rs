//! A stream worked on by two threads at once: one reads ahead, the other uses what was read.
//!
//! Between them is a pipe of a few large buffers, which go round. What one side meets stops the other: a
//! consumer that is gone ends the reading, and a stream that broke off is never taken for one that ended.

use std::{
    io::{self, BufRead, Read, Write},
    panic,
    sync::mpsc::{self, Receiver, Sender, SyncSender},
    thread,
};

/// Runs `produce` here and `consume` in a thread of its own, with a pipe from one to the other.
/// Fails only if there can be no further thread.
pub fn pipe<A, B: Send>(
    produce: impl FnOnce(Feed) -> A,
    consume: impl FnOnce(Flow) -> B + Send,
) -> io::Result<(A, B)> {
    let (full, arriving) = mpsc::sync_channel(BUFFERS);
    let (empty, returned) = mpsc::channel();
    let feed = Feed { full, returned };
    let flow = Flow { arriving, empty, part: Part::default(), position: 0, ended: false };
    thread::scope(|scope| {
        let consumer = thread::Builder::new().spawn_scoped(scope, move || consume(flow))?;
        let produced = produce(feed);
        let consumed = consumer.join().unwrap_or_else(|cause| panic::resume_unwind(cause));
        Ok((produced, consumed))
    })
}

/// The end that is written to.
pub struct Feed {
    full: SyncSender<Part>,
    returned: Receiver<Box<[u8]>>,
}

impl Feed {
    /// For somebody who writes what is to be handed on.
    pub fn filler(self) -> Filler {
        Filler { feed: self, part: Part::default() }
    }

    /// Hands on all that `source` gives. Ends early when the consumer does, which then knows why.
    pub fn pump(self, mut source: impl Read) -> io::Result<()> {
        loop {
            let mut bytes = self.returned.try_recv().unwrap_or_else(|_| vec![0; SIZE].into());
            let mut length = 0;
            while length < bytes.len() {
                match source.read(&mut bytes[length..]) {
                    Ok(0) => break,
                    Ok(count) => length += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            // An empty part is the end: without one, the consumer finds that the stream broke off.
            if self.full.send(Part { bytes, length }).is_err() || length == 0 {
                return Ok(());
            }
        }
    }
}

/// The end that is written to, for somebody who writes.
pub struct Filler {
    feed: Feed,
    part: Part,
}

impl Filler {
    /// Says that this was all: what is dropped without has broken off. Whether the consumer is still there is for it to say.
    pub fn finish(mut self) {
        self.hand_on();
        self.hand_on();
    }

    fn hand_on(&mut self) {
        let part = std::mem::take(&mut self.part);
        self.feed.full.send(part).ok();
    }
}

impl Write for Filler {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.bytes.is_empty() {
            self.part.bytes = self.feed.returned.try_recv().unwrap_or_else(|_| vec![0; SIZE].into());
        }
        let Part { bytes: buffer, length } = &mut self.part;
        let count = bytes.len().min(buffer.len() - *length);
        buffer[*length..][..count].copy_from_slice(&bytes[..count]);
        *length += count;
        if *length == buffer.len() {
            self.hand_on();
        }
        Ok(count)
    }

    /// What is written arrives when there is a buffer of it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The end that is read from.
pub struct Flow {
    arriving: Receiver<Part>,
    empty: Sender<Box<[u8]>>,
    part: Part,
    position: usize,
    ended: bool,
}

/// A buffer, and how much of it is filled.
#[derive(Default)]
struct Part {
    bytes: Box<[u8]>,
    length: usize,
}

impl BufRead for Flow {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.part.length && !self.ended {
            let next = self.arriving.recv().map_err(|_| io::Error::other("the stream broke off"))?;
            let used = std::mem::replace(&mut self.part, next);
            if !used.bytes.is_empty() {
                // Nobody wants it back once the producer is at its end.
                let _ = self.empty.send(used.bytes);
            }
            self.position = 0;
            self.ended = self.part.length == 0;
        }
        Ok(&self.part.bytes[self.position..self.part.length])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl Read for Flow {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// How many buffers may be filled and not yet used, and the bytes in each.
const BUFFERS: usize = 4;
const SIZE: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_in_order() {
        let sent: Vec<u8> = (0..3 * SIZE * BUFFERS + 5).map(|n| (n % 251) as u8).collect();
        let receive = |mut flow: Flow| {
            let mut received = Vec::new();
            flow.read_to_end(&mut received).map(|_| received)
        };
        let (produced, received) = pipe(|feed| feed.pump(sent.as_slice()), receive).unwrap();
        produced.unwrap();
        assert!(received.unwrap() == sent);
    }

    #[test]
    fn what_is_written_arrives_and_is_known_to_be_complete_or_not() {
        let sent: Vec<u8> = (0..2 * SIZE * BUFFERS + 5).map(|n| (n % 251) as u8).collect();
        for length in [0, 5, SIZE, sent.len()] {
            for is_finished in [true, false] {
                let write = |feed: Feed| {
                    let mut filler = feed.filler();
                    sent[..length].chunks(777).try_for_each(|part| filler.write_all(part))?;
                    if is_finished {
                        filler.finish();
                    }
                    io::Result::Ok(())
                };
                let receive = |mut flow: Flow| {
                    let mut received = Vec::new();
                    flow.read_to_end(&mut received).map(|_| received)
                };
                let (written, received) = pipe(write, receive).unwrap();
                written.unwrap();
                assert_eq!(received.is_ok(), is_finished);
                assert!(received.is_ok_and(|received| received == sent[..length]) == is_finished);
            }
        }
    }

    #[test]
    fn a_consumer_that_stops_ends_the_reading() {
        let (produced, consumed) =
            pipe(|feed| feed.pump(io::repeat(1)), |mut flow| flow.read(&mut [0; 3])).unwrap();
        produced.unwrap();
        assert_eq!(consumed.unwrap(), 3);
    }

    #[test]
    fn a_stream_that_breaks_off_does_not_look_complete() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let source = [7; 10].chain(Broken);
        let (produced, consumed) =
            pipe(|feed| feed.pump(source), |mut flow| io::copy(&mut flow, &mut io::sink())).unwrap();
        assert_eq!(produced.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(consumed.is_err());
    }
}
