//! A disk as a machine sees it, with a write cache that forgets.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::Random;

/// What a machine writes stays in the disk's cache until the machine flushes it. When power is lost, of each block that
/// was written since, some version is there that it has had: the one before, the last, or any between. That is what
/// disks promise, and no more: see the kernel's Documentation/block/writeback_cache_control.rst.
///
/// Nothing is written to the file that it starts with.
#[derive(Debug)]
pub struct Disk {
    base: File,
    size: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What differs from the base and survives.
    durable: HashMap<u64, Block>,
    /// The versions of each block that was written since the last flush, oldest first.
    cached: BTreeMap<u64, Vec<Block>>,
    /// How many writes and flushes there were.
    changes: u64,
    /// The number of the change that power is lost at.
    cut: Option<u64>,
    /// Whether nothing can be written any more.
    is_failing: bool,
}

type Block = Box<[u8; BLOCK]>;

/// What a disk writes whole or not at all.
pub const BLOCK: usize = 4096;

/// Why a request is not answered.
#[derive(Debug)]
pub enum Refusal {
    /// There is no power any more.
    PowerLost,
    /// The request cannot be carried out.
    Failed,
}

impl Disk {
    /// A disk with the content of `base`.
    pub fn of(base: File) -> io::Result<Disk> {
        let size = base.metadata()?.len();
        Ok(Disk { base, size, state: Mutex::default() })
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many times something was written or flushed, ever.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Power will be lost when `changes` more have been made.
    pub fn lose_power_after(&self, changes: u64) {
        let mut state = self.state();
        state.cut = Some(state.changes + changes);
    }

    /// Lets every write fail from now on, as a worn-out disk does.
    pub fn fail(&self) {
        self.state().is_failing = true;
    }

    /// Has power again, and works again: the cache is gone, but for what had reached the disk by chance.
    pub fn power_up(&self, random: &mut Random) {
        let mut state = self.state();
        state.cut = None;
        state.is_failing = false;
        // Among the ends, that nothing or everything of the cache has reached the disk.
        let share = *random.of(&[0, 10, 50, 90, 100]);
        for (block, mut versions) in std::mem::take(&mut state.cached) {
            if random.below(100) < share {
                let version = versions.swap_remove(random.below(versions.len()));
                state.durable.insert(block, version);
            }
        }
    }

    /// Fills `buffer`, a number of blocks, from this offset on.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Refusal> {
        let numbers = self.blocks(offset, buffer.len())?;
        let state = self.state();
        for (number, content) in numbers.zip(buffer.chunks_exact_mut(BLOCK)) {
            match state
                .cached
                .get(&number)
                .and_then(|versions| versions.last())
                .or(state.durable.get(&number))
            {
                Some(block) => content.copy_from_slice(&block[..]),
                None => {
                    self.base.read_exact_at(content, number * BLOCK as u64).expect("the file has this size")
                }
            }
        }
        Ok(())
    }

    /// Writes a number of blocks into the cache.
    pub(super) fn write(&self, offset: u64, data: &[u8]) -> Result<(), Refusal> {
        let numbers = self.blocks(offset, data.len())?;
        let mut state = self.state();
        state.change()?;
        for (number, content) in numbers.zip(data.chunks_exact(BLOCK)) {
            let block: Block = Box::new(content.try_into().expect("chunks of this size"));
            state.cached.entry(number).or_default().push(block);
        }
        Ok(())
    }

    /// Writes a number of blocks that are to be there whatever happens.
    pub(super) fn write_through(&self, offset: u64, data: &[u8]) -> Result<(), Refusal> {
        self.write(offset, data)?;
        let numbers = self.blocks(offset, data.len())?;
        let mut state = self.state();
        for number in numbers {
            let last = state.cached.remove(&number).and_then(|mut versions| versions.pop());
            state.durable.insert(number, last.expect("just written above, and there is one client"));
        }
        Ok(())
    }

    /// Makes durable what is in the cache.
    pub(super) fn flush(&self) -> Result<(), Refusal> {
        let mut state = self.state();
        state.change()?;
        for (number, mut versions) in std::mem::take(&mut state.cached) {
            state.durable.insert(number, versions.pop().expect("written at least once"));
        }
        Ok(())
    }

    /// The numbers of the blocks that a request is about.
    fn blocks(&self, offset: u64, length: usize) -> Result<std::ops::Range<u64>, Refusal> {
        let size = BLOCK as u64;
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.size).ok_or(Refusal::Failed)?;
        let is_whole = offset.is_multiple_of(size) && end.is_multiple_of(size);
        is_whole.then_some(offset / size..end / size).ok_or(Refusal::Failed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a change, which may not come about any more.
    fn change(&mut self) -> Result<(), Refusal> {
        if self.cut.is_some_and(|cut| self.changes >= cut) {
            return Err(Refusal::PowerLost);
        }
        if self.is_failing {
            return Err(Refusal::Failed);
        }
        self.changes += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk of four blocks of zeros.
    fn disk() -> Disk {
        let base = tempfile::tempfile().unwrap();
        base.set_len(4 * BLOCK as u64).unwrap();
        Disk::of(base).unwrap()
    }

    fn write(disk: &Disk, block: u64, byte: u8) -> Result<(), Refusal> {
        disk.write(block * BLOCK as u64, &[byte; BLOCK])
    }

    fn read(disk: &Disk, block: u64) -> u8 {
        let mut buffer = [0; BLOCK];
        disk.read(block * BLOCK as u64, &mut buffer).unwrap();
        buffer[0]
    }

    #[test]
    fn what_was_flushed_survives_and_of_the_rest_any_version() {
        let mut seen = [false; 4];
        for seed in 1..200 {
            let disk = disk();
            write(&disk, 0, 1).unwrap();
            disk.flush().unwrap();
            for byte in 1..=3 {
                write(&disk, 1, byte).unwrap();
            }
            assert_eq!((read(&disk, 0), read(&disk, 1)), (1, 3));
            disk.power_up(&mut Random::from(seed));
            assert_eq!((read(&disk, 0), read(&disk, 2)), (1, 0));
            seen[usize::from(read(&disk, 1))] = true;
        }
        assert_eq!(seen, [true; 4]);
    }

    #[test]
    fn what_is_written_through_survives_alone() {
        for seed in 1..20 {
            let disk = disk();
            write(&disk, 0, 1).unwrap();
            write(&disk, 1, 1).unwrap();
            disk.write_through(BLOCK as u64, &[2; BLOCK]).unwrap();
            disk.power_up(&mut Random::from(seed));
            assert_eq!(read(&disk, 1), 2);
        }
    }

    #[test]
    fn without_power_nothing_is_written_or_flushed() {
        let disk = disk();
        disk.lose_power_after(1);
        write(&disk, 0, 1).unwrap();
        assert!(matches!(disk.flush(), Err(Refusal::PowerLost)));
        assert!(matches!(write(&disk, 1, 1), Err(Refusal::PowerLost)));
        disk.power_up(&mut Random::from(1));
        write(&disk, 1, 2).unwrap();
        assert_eq!(read(&disk, 1), 2);
    }

    #[test]
    fn a_failing_disk_can_be_read() {
        let disk = disk();
        write(&disk, 0, 1).unwrap();
        disk.fail();
        assert!(matches!(write(&disk, 0, 2), Err(Refusal::Failed)));
        assert_eq!(read(&disk, 0), 1);
    }

    #[test]
    fn requests_are_of_whole_blocks_that_there_are() {
        let disk = disk();
        assert!(disk.write(1, &[0; BLOCK]).is_err());
        assert!(disk.write(0, &[0; 512]).is_err());
        assert!(disk.read(3 * BLOCK as u64, &mut [0; 2 * BLOCK]).is_err());
        assert!(disk.read(u64::MAX - 4095, &mut [0; BLOCK]).is_err());
    }
}
