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
    /// Mounts one of this size on the new directory `place`.
    pub fn mount(place: &Path, bytes: u64) -> Disk {
        fs::create_dir(place).expect("a directory in the sandbox");
        let size = CString::new(format!("size={bytes}")).expect("no zero byte in a number");
        mount("tmpfs", place, "tmpfs", MountFlags::empty(), size.as_c_str()).expect("root may mount");
        Disk { place: place.to_owned() }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What keeps it busy is a leak, and is reported as one.
        let _ = unmount(&self.place, UnmountFlags::DETACH);
    }
}
