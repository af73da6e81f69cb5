//! The disk, and stacking layers on it.

use std::{fs, io, os::unix::fs::FileTypeExt, path::Path};

use rustix::{
    fs::{StatVfsMountFlags, statfs, statvfs},
    mount::{MountFlags, mount},
};

use super::{Finding, trial::trial_with_directory};

pub fn examine(root: &Path) -> Vec<Finding> {
    vec![overlay(), file_system(root), space(root), files(root)]
}

/// The directory itself, or the nearest above it that exists.
pub fn existing(root: &Path) -> &Path {
    root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}

fn overlay() -> Finding {
    let plain = stack("");
    let quick = stack(",volatile");
    match (plain, quick) {
        (Ok(()), Ok(())) => Finding::ok("overlay", "layers can be stacked"),
        (Ok(()), Err(error)) => Finding::warn(
            "overlay",
            format!("layers can be stacked, but not volatile: {error}"),
            "Linux 5.10 or newer spares the end of a `--rm` container the disk",
        ),
        (Err(error), _) => Finding::fail(
            "overlay",
            format!("layers cannot be stacked: {error}"),
            "`modprobe overlay`, or a kernel with CONFIG_OVERLAY_FS",
        ),
    }
}

/// Stacks two directories and changes something, as containers do.
fn stack(options: &str) -> io::Result<()> {
    trial_with_directory(|place| {
        let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| place.join(name));
        for directory in [&lower, &upper, &work, &merged] {
            fs::create_dir(directory)?;
        }
        fs::write(lower.join("old"), "")?;
        let [lower_text, upper_text, work_text] = [&lower, &upper, &work].map(|path| path.display());
        let usual = if sys::rootless::is_rootless() { "userxattr" } else { "redirect_dir=off,metacopy=off" };
        let options =
            format!("lowerdir={lower_text},upperdir={upper_text},workdir={work_text},{usual}{options}");
        let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
        mount("overlay", &merged, "overlay", MountFlags::empty(), Some(options.as_c_str()))?;
        fs::write(merged.join("new"), "")?;
        fs::remove_file(merged.join("old"))?;
        let is_whiteout = fs::symlink_metadata(upper.join("old"))?.file_type().is_char_device();
        match is_whiteout && upper.join("new").exists() {
            true => Ok(String::new()),
            false => Err(io::Error::other("changes do not get into the upper layer")),
        }
    })
    .map(drop)
}

fn file_system(root: &Path) -> Finding {
    let directory = existing(root);
    let status = match (statfs(directory), statvfs(directory)) {
        (Ok(kind), Ok(status)) => (kind.f_type, status.f_flag),
        (Err(error), _) | (_, Err(error)) => {
            let text = format!("cannot ask the file system of {}: {error}", directory.display());
            return Finding::fail("file system", text, "choose another directory with --root");
        }
    };
    let (kind, flags) = status;
    let text = match FILE_SYSTEMS.iter().find(|known| i128::from(known.magic) == kind as i128) {
        Some(known) if !known.takes_layers => {
            let text = format!("{} is on {}, on which layers cannot be written", root.display(), known.name);
            return Finding::fail(
                "file system",
                text,
                "choose a directory on ext4, xfs, btrfs or tmpfs with --root or SAMPAN_ROOT; in a container, a volume",
            );
        }
        Some(known) => format!("{} is on {}", root.display(), known.name),
        None => format!("{} is on a file system of type {kind:#x}", root.display()),
    };
    match flags.contains(StatVfsMountFlags::RDONLY) {
        true => Finding::fail(
            "file system",
            format!("{text}, which is mounted read-only"),
            "remount it, or choose another directory with --root or SAMPAN_ROOT",
        ),
        false => Finding::ok("file system", text),
    }
}

fn space(root: &Path) -> Finding {
    let Ok(status) = statvfs(existing(root)) else {
        return Finding::warn("space", "cannot ask how much is free", "look with `df`");
    };
    let size = |blocks: u64| blocks.saturating_mul(status.f_frsize);
    let (free, all) = (size(status.f_bavail), size(status.f_blocks));
    let text = format!("{} free of {}", gigabytes(free), gigabytes(all));
    match free < reserve(all) {
        false => Finding::ok("space", text),
        true => Finding::warn(
            "space",
            format!("{text}: images are not unpacked with less than {}", gigabytes(reserve(all))),
            "`sampan system prune` and `sampan trash empty` free some",
        ),
    }
}

/// How much of a disk images leave free; see `image::layer::space`.
fn reserve(disk: u64) -> u64 {
    (disk / 20).min(1 << 30)
}

fn files(root: &Path) -> Finding {
    let Ok(status) = statvfs(existing(root)) else {
        return Finding::warn("files", "cannot ask how many there can be", "look with `df -i`");
    };
    match (status.f_files, status.f_favail) {
        (0, _) => Finding::ok("files", "as many as fit"),
        (all, free) if free < all / 20 => Finding::warn(
            "files",
            format!("{free} of {all} inodes free"),
            "`sampan system prune` frees some; a file system with more inodes holds more images",
        ),
        (all, free) => Finding::ok("files", format!("{free} of {all} inodes free")),
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

struct FileSystem {
    /// See linux/magic.h.
    magic: u32,
    name: &'static str,
    /// Whether it can be the upper layer of an overlay.
    takes_layers: bool,
}

const FILE_SYSTEMS: [FileSystem; 11] = [
    FileSystem { magic: 0xef53, name: "ext4", takes_layers: true },
    FileSystem { magic: 0x5846_5342, name: "xfs", takes_layers: true },
    FileSystem { magic: 0x9123_683e, name: "btrfs", takes_layers: true },
    FileSystem { magic: 0x0102_1994, name: "tmpfs", takes_layers: true },
    FileSystem { magic: 0xf2f5_2010, name: "f2fs", takes_layers: true },
    FileSystem { magic: 0x794c_7630, name: "overlay", takes_layers: false },
    FileSystem { magic: 0x6969, name: "nfs", takes_layers: false },
    FileSystem { magic: 0x4d44, name: "vfat", takes_layers: false },
    FileSystem { magic: 0x2011_bab0, name: "exfat", takes_layers: false },
    FileSystem { magic: 0x0102_1997, name: "9p", takes_layers: false },
    FileSystem { magic: 0xff53_4d42, name: "cifs", takes_layers: false },
];
