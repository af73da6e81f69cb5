//! Compresses a stream on all processors, to the same bytes however many there are.
//!
//! ```text
//! writer ──blocks──▶ deflate ──┐
//!    │              deflate ──┤ each into its own slot
//!    └──────slots, in order───▶ joiner ──▶ target
//! ```
//!
//! Each block of 1 MiB is deflated by itself, with the 32 KiB before it as its dictionary, and flushed to a
//! whole byte: the results, joined, are one deflate stream as any program reads it (RFC 1951), in one gzip
//! member that says nothing of when or where it was made (RFC 1952).

use std::{
    io::{self, Write},
    panic,
    sync::{
        Mutex,
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread,
};

use flate2::{Compress, Compression, Crc, FlushCompress};

/// Runs `write`, and compresses what it writes to `target` with so many threads. Fails if `target` does, whatever
/// that causes in `write`; otherwise it tells what `write` does.
pub fn gzip<T, E>(
    mut target: impl Write + Send,
    threads: usize,
    write: impl FnOnce(&mut Cutter) -> Result<T, E>,
) -> io::Result<Result<T, E>> {
    let (jobs, waiting) = mpsc::sync_channel(threads);
    let (slots, order) = mpsc::sync_channel(2 * threads);
    let waiting = Mutex::new(waiting);
    let mut cutter = Cutter { block: Vec::with_capacity(BLOCK), dictionary: Vec::new(), jobs, slots };
    thread::scope(|scope| {
        let joiner = thread::Builder::new().spawn_scoped(scope, move || join(&order, &mut target))?;
        for _ in 0..threads {
            thread::Builder::new().spawn_scoped(scope, || deflate_all(&waiting))?;
        }
        let written = write(&mut cutter);
        let finished = if written.is_ok() { cutter.finish() } else { Ok(()) };
        // No more slots will come.
        drop(cutter);
        match joiner.join().unwrap_or_else(|cause| panic::resume_unwind(cause)) {
            Err(Stopped::Target(error)) => Err(error),
            Err(Stopped::Unfinished) | Ok(()) => finished.map(|()| written),
        }
    })
}

/// Cuts what is written to it into blocks.
pub struct Cutter {
    block: Vec<u8>,
    /// The end of the block before.
    dictionary: Vec<u8>,
    jobs: SyncSender<Job>,
    slots: SyncSender<Receiver<Deflated>>,
}

/// A block to deflate.
struct Job {
    block: Vec<u8>,
    dictionary: Vec<u8>,
    is_last: bool,
    slot: Sender<Deflated>,
}

/// What became of a block.
struct Deflated {
    bytes: Vec<u8>,
    crc: Crc,
    is_last: bool,
}

impl Cutter {
    fn cut(&mut self, is_last: bool) -> io::Result<()> {
        let next = if is_last { Vec::new() } else { Vec::with_capacity(BLOCK) };
        let block = std::mem::replace(&mut self.block, next);
        let window = block[block.len().saturating_sub(WINDOW)..].to_vec();
        let dictionary = std::mem::replace(&mut self.dictionary, window);
        let (slot, result) = mpsc::channel();
        let stopped = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.slots.send(result).map_err(|_| stopped())?;
        self.jobs.send(Job { block, dictionary, is_last, slot }).map_err(|_| stopped())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.cut(true)
    }
}

impl Write for Cutter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        if self.block.len() == BLOCK {
            self.cut(false)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn deflate_all(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let next = waiting.lock().expect("no thread panics holding it").recv();
        let Ok(job) = next else { return };
        let deflated = Deflated { bytes: deflate(&job), crc: checksum(&job.block), is_last: job.is_last };
        // If the joiner stopped, nobody wants it.
        let _ = job.slot.send(deflated);
    }
}

fn deflate(job: &Job) -> Vec<u8> {
    // A new one each time: reset, it would keep what it saw before in its window, and look a few bytes past what is
    // given to it. That makes no wrong output, but one that depends on which thread did what.
    let mut deflater = Compress::new(Compression::new(LEVEL), false);
    if !job.dictionary.is_empty() {
        deflater.set_dictionary(&job.dictionary).expect("a raw stream takes any dictionary at its start");
    }
    let flush = if job.is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut bytes = Vec::with_capacity(job.block.len() / 2 + 1024);
    loop {
        let taken = deflater.total_in() as usize;
        deflater.compress_vec(&job.block[taken..], &mut bytes, flush).expect("the calls are in order");
        // Room left means that everything is out.
        if bytes.len() < bytes.capacity() {
            return bytes;
        }
        bytes.reserve(bytes.len() / 2);
    }
}

fn checksum(bytes: &[u8]) -> Crc {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc
}

/// Why the joiner did not get to the end.
enum Stopped {
    Target(io::Error),
    /// The last block never came.
    Unfinished,
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Stopped {
        Stopped::Target(error)
    }
}

fn join(order: &Receiver<Receiver<Deflated>>, target: &mut impl Write) -> Result<(), Stopped> {
    let mut crc = Crc::new();
    target.write_all(&HEADER)?;
    while let Ok(slot) = order.recv() {
        let Ok(deflated) = slot.recv() else { return Err(Stopped::Unfinished) };
        target.write_all(&deflated.bytes)?;
        crc.combine(&deflated.crc);
        if deflated.is_last {
            target.write_all(&crc.sum().to_le_bytes())?;
            target.write_all(&crc.amount().to_le_bytes())?;
            return Ok(target.flush()?);
        }
    }
    Err(Stopped::Unfinished)
}

/// Deflate, no flags, no time, no remark on the compression, system unknown.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
const BLOCK: usize = 1 << 20;
/// As far back as deflate looks.
const WINDOW: usize = 32 << 10;
/// A layer of Python's library: 1 makes it 2.6 times smaller at 250 MB/s on one processor, 2 makes it 3.2 times
/// smaller at 160 MB/s, 4 3.4 times at 115 MB/s, 6 3.5 times at 85 MB/s.
const LEVEL: u32 = 2;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::bufread::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn compressed(content: &[u8], threads: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        gzip(&mut bytes, threads, |target| target.write_all(content)).unwrap().unwrap();
        bytes
    }

    fn check(content: &[u8]) {
        let bytes = compressed(content, 1);
        let mut inflated = Vec::new();
        let mut decoder = GzDecoder::new(bytes.as_slice());
        decoder.read_to_end(&mut inflated).unwrap();
        assert!(decoder.into_inner().is_empty(), "one member, and nothing behind it");
        assert!(inflated == content, "{} bytes come back", content.len());
        for threads in [2, 3, 8] {
            assert!(compressed(content, threads) == bytes, "{threads} threads");
        }
    }

    #[test]
    fn nothing_and_whole_blocks_are_compressed_too() {
        let text = b"all work and no play ".repeat(3 * BLOCK / 20);
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK] {
            check(&text[..length]);
        }
    }

    fn noise(mut state: u64, length: usize, variety: u64) -> Vec<u8> {
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((state >> 33) % variety) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn a_block_does_not_depend_on_what_its_thread_did_before() {
        // With deflaters that were reset for each block, this came out in several ways.
        check(&noise(267_947_615_193_766_893, 3_189_801, 2));
    }

    #[test]
    fn an_error_of_the_target_is_the_one_that_is_told() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = gzip(Full, 2, |target| target.write_all(&[7; 20 * BLOCK])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_writer_that_fails_leaves_no_complete_stream() {
        let mut bytes = Vec::new();
        let failed: Result<(), io::Error> = gzip(&mut bytes, 2, |target| {
            target.write_all(&[7; 5 * BLOCK])?;
            Err(io::ErrorKind::NotFound.into())
        })
        .unwrap();
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(GzDecoder::new(bytes.as_slice()).read_to_end(&mut Vec::new()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn anything_comes_back_whatever_the_number_of_threads(
            seed in any::<u64>(), length in 0usize..4 * BLOCK, variety in 1u64..256,
        ) {
            check(&noise(seed, length, variety));
        }
    }
}
