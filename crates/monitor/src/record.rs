//! What a container's directory says about its process: the truth, whoever asks and whenever.
//!
//! ```text
//!   lock        held by whoever is in charge of the container's process: the engine while it starts or
//!               removes it, the monitor while it runs
//!   order.json  there from before the first thing outside the directory is made until after the last is gone
//!   state.json  how the process started, then how it ended; replaced as a whole
//! ```
//!
//! An order that nobody holds the lock for was left by a monitor that was killed: what it names is then taken
//! back, and the record corrected, by whoever notices. A record names the boot it was written in, because no
//! process survives a reboot.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
};

use jiff::Timestamp;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use sys::process::{boot, start_of};

use crate::policy::has_no_room;

/// The last thing that was written of a container's process.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(crate) enum Record {
    Running(Started),
    /// It has ended, and its monitor is about to start it again.
    Restarting(Ended),
    Exited(Ended),
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Started {
    /// As the host sees it.
    pub pid: i32,
    /// When the kernel made the process, in clock ticks since boot: tells it from a later one of that number.
    pub ticks: u64,
    pub boot: String,
    pub at: Timestamp,
    /// The ports as they were published, with the host's ports filled in.
    pub publish: Vec<types::Publish>,
    /// How often the container was started again since somebody started it.
    #[serde(default)]
    pub restarts: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ended {
    pub code: u8,
    pub started: Option<Timestamp>,
    pub finished: Timestamp,
    pub oom_killed: bool,
    /// Why it did not start, if it did not.
    pub error: Option<String>,
    #[serde(default)]
    pub restarts: u32,
    /// Nobody saw the end: its monitor was killed, or the machine went down.
    #[serde(default)]
    pub lost: bool,
}

impl Ended {
    /// The end of a container whose program never ran.
    pub(crate) fn before_it_ran(failure: &runtime::Failure) -> Ended {
        let error = Some(failure.message.clone());
        Ended {
            code: failure.kind.recorded_code(),
            started: None,
            finished: Timestamp::now(),
            oom_killed: false,
            error,
            restarts: 0,
            lost: false,
        }
    }
}

impl Record {
    /// Reads the record in `directory`; `None` if the container was never started.
    pub fn read(directory: &Path) -> io::Result<Option<Record>> {
        let bytes = read_small(&directory.join(STATE))?;
        Ok(bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose()?)
    }

    /// Replaces the record in `directory`. Not synced: what a crash takes back, the next boot corrects. On a full disk it takes
    /// the room of the one that is there.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        match self.prepare(directory) {
            Ok(()) => Record::publish(directory),
            Err(error) if has_no_room(&error) => self.write_over(directory).map_err(|_| error),
            Err(error) => Err(error),
        }
    }

    /// Writes what [`Record::publish`] is to put into the place of the record in `directory`.
    pub fn prepare(&self, directory: &Path) -> io::Result<()> {
        fs::write(directory.join(PREPARED), serde_json::to_vec(self)?)
    }

    /// Puts what was prepared into the record's place, which takes no room.
    pub fn publish(directory: &Path) -> io::Result<()> {
        fs::rename(directory.join(PREPARED), directory.join(STATE))
    }

    fn write_over(&self, directory: &Path) -> io::Result<()> {
        let file = File::options().write(true).open(directory.join(STATE))?;
        let mut bytes = serde_json::to_vec(self)?;
        // Blanks hide the rest of a longer one.
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        bytes.resize(bytes.len().max(length), b' ');
        file.write_all_at(&bytes, 0)
    }
}

impl Started {
    /// The process this was written about, if it still exists.
    pub fn process(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        // First the descriptor, then the check: what was checked is then what is held.
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => Ok(self.is_of_a_process().then_some(process)),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn is_of_a_process(&self) -> bool {
        boot().is_ok_and(|boot| boot == self.boot)
            && start_of(self.pid).is_ok_and(|ticks| ticks == self.ticks)
    }
}

/// The right to decide about a container's process. Passes between processes with its descriptor.
#[derive(Debug)]
pub struct Lock(OwnedFd);

impl Lock {
    /// The file in the directory that is locked.
    pub const FILE: &str = "lock";

    /// Takes the lock of the container in `directory` if nobody has it.
    pub fn try_take(directory: &Path) -> io::Result<Option<Lock>> {
        Lock::acquire(directory, FlockOperation::NonBlockingLockExclusive)
    }

    /// Waits until nobody holds the lock, and takes it.
    pub fn take(directory: &Path) -> io::Result<Lock> {
        Lock::acquire(directory, FlockOperation::LockExclusive).map(|lock| lock.expect("waited for it"))
    }

    fn acquire(directory: &Path, operation: FlockOperation) -> io::Result<Option<Lock>> {
        let file =
            File::options().create(true).write(true).truncate(false).open(directory.join(Lock::FILE))?;
        match rustix::io::retry_on_intr(|| flock(&file, operation)) {
            Ok(()) => Ok(Some(Lock(file.into()))),
            Err(Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Lock {
    fn from(file: OwnedFd) -> Lock {
        Lock(file)
    }
}

/// What is in a file, if there is one. One that was new when power was lost may have its name and no content, or only zeros:
/// nobody was told yet what was in it, and it is as good as none. A listing reads some for each container: this asks the kernel for nothing but the
/// content, and for that once, if it is small.
pub(crate) fn read_small(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut content = Vec::with_capacity(SMALL);
    rustix::io::retry_on_intr(|| rustix::io::read(&file, rustix::buffer::spare_capacity(&mut content)))?;
    if content.len() == content.capacity() {
        file.read_to_end(&mut content)?;
    }
    let is_torn = content.iter().all(|byte| *byte == 0);
    Ok((!is_torn).then_some(content))
}

const STATE: &str = "state.json";
const PREPARED: &str = ".state.json";
const SMALL: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_recognised_and_a_recycled_number_is_not() {
        let pid = std::process::id() as i32;
        let ticks = start_of(pid).expect("this process exists");
        let boot = boot().expect("the kernel has a boot id");
        let started =
            Started { pid, ticks, boot, at: Timestamp::UNIX_EPOCH, publish: Vec::new(), restarts: 0 };
        let exists = |started: &Started| started.process().expect("readable").is_some();
        assert!(exists(&started));
        assert!(!exists(&Started { ticks: ticks + 1, ..started.clone() }));
        assert!(!exists(&Started { boot: "another".into(), ..started }));
    }

    #[test]
    fn a_record_that_was_torn_by_a_power_cut_is_none() {
        let directory = tempfile::tempdir().expect("tempdir");
        for torn in [&[][..], &[0; 100]] {
            fs::write(directory.path().join(STATE), torn).expect("a new file");
            assert_eq!(Record::read(directory.path()).expect("readable"), None);
        }
    }

    #[test]
    fn a_record_takes_the_room_of_a_longer_one() {
        let directory = tempfile::tempdir().expect("tempdir");
        let ended = |error: &str| {
            Record::Exited(Ended {
                code: 1,
                started: None,
                finished: Timestamp::UNIX_EPOCH,
                oom_killed: false,
                error: Some(error.to_owned()),
                restarts: 0,
                lost: false,
            })
        };
        assert!(ended("none to write over").write_over(directory.path()).is_err());
        ended("first").write(directory.path()).expect("writable");
        for error in ["a longer one", "short"] {
            ended(error).write_over(directory.path()).expect("writable");
            assert_eq!(Record::read(directory.path()).expect("readable"), Some(ended(error)));
        }
    }

    #[test]
    fn a_record_reads_as_it_was_written_and_the_lock_is_exclusive() {
        let directory = tempfile::tempdir().expect("tempdir");
        assert_eq!(Record::read(directory.path()).expect("readable"), None);
        let finished = Timestamp::UNIX_EPOCH;
        let record = Record::Exited(Ended {
            code: 137,
            started: None,
            finished,
            oom_killed: true,
            error: None,
            restarts: 2,
            lost: false,
        });
        record.write(directory.path()).expect("writable");
        assert_eq!(Record::read(directory.path()).expect("readable"), Some(record));

        let lock = Lock::try_take(directory.path()).expect("lockable").expect("free");
        assert!(Lock::try_take(directory.path()).expect("lockable").is_none());
        drop(lock);
        assert!(Lock::try_take(directory.path()).expect("lockable").is_some());
    }
}
