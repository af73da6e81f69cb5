//! What machines boot: a distribution, the program, and whatever a test wants to find there.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use tar::Archive;
use tempfile::TempDir;

use super::{Disk, initramfs::Initramfs};
use crate::base_image;

/// A kernel, what it starts with, and the file that disks begin as. Made for one test program, and removed with it.
#[derive(Debug)]
pub struct System {
    directory: TempDir,
}

impl System {
    /// Debian, with `program` and other files and directories of this machine under the same paths. `sampan` is the
    /// program. `None`, and why on standard error, where there can be no machines.
    pub fn new(program: &Path, files: &[&Path]) -> Option<System> {
        if !cfg!(target_arch = "x86_64") {
            eprintln!("skipped: only x86-64 machines are emulated");
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: the files of a machine's disk are root's, and so only root can make them");
            return None;
        }
        let archive = base_image(IMAGE)?;
        let system = System { directory: super::directory() };
        system.make(&archive, program, files).expect("a file system of Debian's files");
        Some(system)
    }

    /// A new disk with the system on it.
    pub fn disk(&self) -> Arc<Disk> {
        let disk = File::open(self.path("disk")).and_then(Disk::of);
        Arc::new(disk.expect("a file that was just made"))
    }

    pub(super) fn kernel(&self) -> PathBuf {
        self.path("kernel")
    }

    pub(super) fn initramfs(&self) -> PathBuf {
        self.path("initramfs")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn make(&self, archive: &Path, program: &Path, files: &[&Path]) -> io::Result<()> {
        let tree = self.path("tree");
        unpack(archive, &tree)?;
        self.take_kernel(&tree)?;
        add_guest(&tree)?;
        symlink(program, tree.join("usr/local/bin/sampan"))?;
        for file in files.iter().chain([&program]) {
            copy(file, &tree.join(file.strip_prefix("/").map_err(io::Error::other)?))?;
        }
        let disk = self.path("disk");
        File::create(&disk)?.set_len(DISK_SIZE)?;
        let output = Command::new("/usr/sbin/mke2fs")
            .args(["-q", "-t", "ext4", "-b", "4096", "-e", "remount-ro", "-d"])
            .args([&tree, &disk])
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        fs::remove_dir_all(&tree)
    }

    /// Copies the kernel, and packs what it needs to find the rest.
    fn take_kernel(&self, tree: &Path) -> io::Result<()> {
        let version = only_entry(&tree.join("usr/lib/modules"))?;
        let version = version.file_name().unwrap_or_default().to_string_lossy().into_owned();
        fs::copy(tree.join(format!("boot/vmlinuz-{version}")), self.kernel())?;
        let driver = format!("usr/lib/modules/{version}/kernel/drivers/block/virtio_blk.ko");
        let mut initramfs = Initramfs::create(&self.initramfs())?;
        for directory in ["bin", "dev", "root"] {
            initramfs.directory(directory)?;
        }
        initramfs.program("bin/busybox", &fs::read(tree.join("usr/bin/busybox"))?)?;
        for applet in ["sh", "mount", "insmod", "switch_root"] {
            initramfs.symlink(&format!("bin/{applet}"), "busybox")?;
        }
        initramfs.program("virtio_blk.ko", &fs::read(tree.join(driver))?)?;
        initramfs.program("init", include_bytes!("guest/init"))?;
        initramfs.finish()
    }
}

/// Unpacks the layers of an image that lies in an archive of OCI's or docker's.
fn unpack(image: &Path, tree: &Path) -> io::Result<()> {
    let manifest =
        with_entry(image, "manifest.json", |entry| serde_json::from_reader(entry).map_err(Into::into));
    let manifest: serde_json::Value = manifest?;
    for layer in manifest[0]["Layers"].as_array().into_iter().flatten().filter_map(|path| path.as_str()) {
        with_entry(image, layer, |entry| {
            let mut layer = Archive::new(entry);
            layer.set_preserve_permissions(true);
            layer.set_preserve_ownerships(true);
            layer.unpack(tree)
        })?;
    }
    Ok(())
}

/// Reads one file of an archive.
fn with_entry<T>(
    archive: &Path,
    name: &str,
    read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> io::Result<T> {
    let mut archive = Archive::new(File::open(archive)?);
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        if entry.path()?.as_os_str() == name {
            return read(&mut entry);
        }
    }
    Err(io::Error::other(format!("no {name} in the archive")))
}

/// Adds what makes a machine do what tests say.
fn add_guest(tree: &Path) -> io::Result<()> {
    for (name, mode, content) in GUEST {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().unwrap_or(tree))?;
        fs::write(&path, content)?;
        fs::set_permissions(&path, PermissionsExt::from_mode(*mode))?;
    }
    let wanted = tree.join("etc/systemd/system/default.target.wants");
    fs::create_dir_all(&wanted)?;
    symlink("/etc/systemd/system/vm-shell.service", wanted.join("vm-shell.service"))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    fs::copy(from, to).map(drop)
}

fn only_entry(directory: &Path) -> io::Result<PathBuf> {
    let mut entries = fs::read_dir(directory)?;
    let first = entries.next().unwrap_or_else(|| Err(io::Error::other("no kernel in the image")))?;
    Ok(first.path())
}

/// The image that `cargo xtask images` makes of Debian's kernel for clouds, systemd, and busybox.
const IMAGE: &str = "machine:trixie";

/// Room enough for a suite, and sparse.
const DISK_SIZE: u64 = 4 << 30;

const GUEST: &[(&str, u32, &str)] = &[
    ("vm/shell", 0o755, include_str!("guest/shell")),
    ("vm/mount-all", 0o755, include_str!("guest/mount-all")),
    ("etc/inittab", 0o644, include_str!("guest/inittab")),
    ("etc/systemd/system/vm-shell.service", 0o644, include_str!("guest/shell.service")),
    ("etc/hostname", 0o644, "machine\n"),
    ("etc/hosts", 0o644, "127.0.0.1 localhost\n"),
    ("etc/machine-id", 0o444, "5a2d8f0c7c1e4b7e9d3a6b5c4d3e2f10\n"),
];
