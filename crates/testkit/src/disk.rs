//! A disk that is soon full.

use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A small file system in memory. Unmounted when dropped.
#[derive(Debug)]
pub struct Disk {
    pub place: PathBuf,
}

impl Disk {
    /// Mounts one on the new directory `place`. `room` says what it has: `size=12m`, or `nr_inodes=400` for so many files.
    pub fn mount(place: &Path, room: &str) -> Disk {
        fs::create_dir(place).expect("a directory in the sandbox");
        let room = CString::new(room).expect("no zero byte in a mount option");
        mount("tmpfs", place, "tmpfs", MountFlags::empty(), room.as_c_str()).expect("root may mount");
        Disk { place: place.to_owned() }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What keeps it busy is a leak, and is reported as one.
        let _ = unmount(&self.place, UnmountFlags::DETACH);
    }
}
