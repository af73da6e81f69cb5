//! The files and directories that a cgroup is made of.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use rustix::process::Pid;

use super::{CgroupError, PAUSE};

/// A value to be written to a file of a group: one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub file: String,
    pub value: String,
}

impl Setting {
    pub fn new(file: impl Into<String>, value: impl ToString) -> Setting {
        Setting { file: file.into(), value: value.to_string() }
    }

    /// The controller that the file belongs to, which is what its name begins with.
    pub fn controller(&self) -> &str {
        self.file.split('.').next().unwrap_or_default()
    }

    pub fn write(&self, directory: &Path) -> Result<(), CgroupError> {
        write_all(directory, std::slice::from_ref(self))
    }
}

/// Writes `settings`, all of one file, one after the other.
pub fn write_all(directory: &Path, settings: &[Setting]) -> Result<(), CgroupError> {
    let Some(first) = settings.first() else { return Ok(()) };
    let path = directory.join(&first.file);
    let refused = |setting: &Setting, reason| {
        Err(CgroupError::Limit { file: path.clone(), value: setting.value.clone(), reason })
    };
    let mut file = match OpenOptions::new().write(true).open(&path) {
        Ok(file) => file,
        Err(reason) => return refused(first, reason),
    };
    for setting in settings {
        if let Err(reason) = file.write_all(setting.value.as_bytes()) {
            return refused(setting, reason);
        }
    }
    Ok(())
}

/// Writes to a file that the kernel must have there: never makes one.
pub fn write(file: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

pub fn read(file: &Path) -> Result<String, CgroupError> {
    fs::read_to_string(file).map_err(io_error("read", file))
}

/// A file that holds one number. `max` and what does not fit is the largest there is.
pub fn read_number(file: &Path) -> Result<u64, CgroupError> {
    Ok(read(file)?.trim().parse().unwrap_or(u64::MAX))
}

/// The number that a line of `text` gives for `key`; 0 if no line does.
pub fn number_of(text: &str, key: &str) -> u64 {
    let values = text.lines().filter_map(|line| line.split_once(' ').filter(|(name, _)| *name == key));
    values.filter_map(|(_, value)| value.trim().parse().ok()).next().unwrap_or(0)
}

/// Makes a group, and first its parents with `make_parents` if they are missing. A group without processes that
/// was left behind at its path is replaced.
pub fn make_group(
    directory: &Path,
    make_parents: impl FnOnce() -> Result<(), CgroupError>,
) -> Result<(), CgroupError> {
    let made = match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_parents()?;
            fs::create_dir(directory)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let mut pids = Vec::new();
            pids_below(directory, &mut pids)?;
            if !pids.is_empty() {
                return Err(CgroupError::InUse { path: directory.to_owned() });
            }
            remove_below(directory, Instant::now())?;
            fs::create_dir(directory)
        }
        other => other,
    };
    made.map_err(io_error("make", directory))
}

/// Adds the processes of the group at `directory` and of those below it. A group that is gone has none.
pub fn pids_below(directory: &Path, pids: &mut Vec<Pid>) -> Result<(), CgroupError> {
    match fs::read_to_string(directory.join("cgroup.procs")) {
        // Numbers of 0 are processes that the caller's pid namespace does not have.
        Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse().ok().and_then(Pid::from_raw))),
        Err(error) if is_gone(&error) => return Ok(()),
        // A threaded group does not tell; its processes are listed in the group above.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(error) => return Err(io_error("read", directory)(error)),
    }
    for child in children(directory)? {
        pids_below(&child, pids)?;
    }
    Ok(())
}

/// Removes the group at `directory` and those below it, trying until `deadline` while they are in use.
pub fn remove_below(directory: &Path, deadline: Instant) -> Result<(), CgroupError> {
    loop {
        let error = match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => error,
        };
        if error.kind() != io::ErrorKind::ResourceBusy {
            return Err(io_error("remove", directory)(error));
        }
        let children = children(directory)?;
        if children.is_empty() {
            if Instant::now() >= deadline {
                return Err(io_error("remove", directory)(error));
            }
            thread::sleep(PAUSE);
        }
        for child in children {
            remove_below(&child, deadline)?;
        }
    }
}

/// The groups right below the one at `directory`.
fn children(directory: &Path) -> Result<Vec<PathBuf>, CgroupError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(io_error("read", directory)(error)),
    };
    let directories =
        entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()));
    Ok(directories.map(|entry| entry.path()).collect())
}

/// Whether the group went away: its directory, or the kernel's object behind an open file.
pub fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// What came of writing to a group for which there is nothing to do if it went away.
pub fn unless_gone(directory: &Path, written: Result<(), CgroupError>) -> Result<(), CgroupError> {
    match written {
        Err(CgroupError::Limit { reason, .. })
            if is_gone(&reason) && (reason.kind() != io::ErrorKind::NotFound || !directory.exists()) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Names what was tried on which path.
pub fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.to_owned();
    move |reason| CgroupError::Io { action, path, reason }
}
