//! What the kernel starts with: a driver for the disk, and who mounts it.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

/// An archive as the kernel unpacks it: cpio in the format "newc", see its
/// Documentation/driver-api/early-userspace/buffer-format.rst.
pub struct Initramfs {
    out: File,
    entries: u32,
}

impl Initramfs {
    pub fn create(path: &Path) -> io::Result<Initramfs> {
        Ok(Initramfs { out: File::create(path)?, entries: 0 })
    }

    pub fn directory(&mut self, name: &str) -> io::Result<()> {
        self.add(name, 0o040_755, &[])
    }

    pub fn program(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.add(name, 0o100_755, content)
    }

    pub fn symlink(&mut self, name: &str, target: &str) -> io::Result<()> {
        self.add(name, 0o120_777, target.as_bytes())
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.add("TRAILER!!!", 0, &[])
    }

    fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let (size, name_size) = (content.len(), name.len() + 1);
        let (inode, links) = (self.entries, 1);
        // Owner, group and time are zero, and so are the numbers of devices and the checksum.
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{links:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{name_size:08x}{0:08x}{name}\0",
            0
        );
        self.padded(header.as_bytes())?;
        self.padded(content)
    }

    /// Writes up to a multiple of four bytes.
    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.write_all(&[0; 3][..bytes.len().next_multiple_of(4) - bytes.len()])
    }
}
