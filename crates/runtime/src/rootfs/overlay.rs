//! The root as a stack of layers: overlayfs, described by a first mount on `/` in the specification.
//!
//! The kernel takes at most one page of options. A path of ours may be long and an image may have 127
//! layers, so every directory is named by a descriptor: `/proc/self/fd/N`.

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::Path,
};

use oci_spec::runtime::Mount;
use rustix::{
    fs::{CWD, Mode, OFlags},
    mount::MountFlags,
};

use crate::{
    bundle::BELOW,
    failure::{Context, Failure},
};

/// Mounts the overlay that `entry` describes on the directory `target`.
pub fn mount(entry: &Mount, target: &Path) -> Result<(), Failure> {
    let mut opened = Vec::new();
    let mut options = Vec::new();
    for option in entry.options().as_deref().unwrap_or_default() {
        match option.split_once('=') {
            Some(("lowerdir", directories)) => {
                let names =
                    split(directories).iter().map(|d| open(d, &mut opened)).collect::<Result<Vec<_>, _>>()?;
                options.push(format!("lowerdir={}", names.join(":")));
            }
            Some((key @ ("upperdir" | "workdir"), directory)) => {
                options.push(format!("{key}={}", open(OsStr::new(directory), &mut opened)?));
            }
            // What is for the mount that is made of this one.
            None if matches!(option.as_str(), "ro" | "rw") => {}
            _ if option.starts_with(BELOW) => {}
            _ => options.push(option.clone()),
        }
    }
    let data = std::ffi::CString::new(options.join(",")).context("overlay options")?;
    rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), Some(data.as_c_str()))
        .context("mounting the image's layers")
}

/// Joins directories, topmost first, into one value of `lowerdir`, as [`mount`] takes it apart again.
pub fn join<'a>(directories: impl IntoIterator<Item = &'a Path>) -> OsString {
    let mut joined = Vec::new();
    for directory in directories {
        if !joined.is_empty() {
            joined.push(b':');
        }
        for byte in directory.as_os_str().as_bytes() {
            if matches!(byte, b':' | b'\\') {
                joined.push(b'\\');
            }
            joined.push(*byte);
        }
    }
    OsString::from_vec(joined)
}

fn split(joined: &str) -> Vec<OsString> {
    let mut directories = vec![Vec::new()];
    let mut bytes = joined.bytes();
    while let Some(byte) = bytes.next() {
        let last = directories.last_mut().expect("never empty");
        match byte {
            b'\\' => last.extend(bytes.next()),
            b':' => directories.push(Vec::new()),
            _ => last.push(byte),
        }
    }
    directories.into_iter().map(OsString::from_vec).collect()
}

/// Opens `directory`, keeps it open in `opened`, and returns the short name it has meanwhile.
fn open(directory: &OsStr, opened: &mut Vec<OwnedFd>) -> Result<String, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, directory, flags, Mode::empty())
        .context(format_args!("layer {}", Path::new(directory).display()))?;
    let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
    opened.push(fd);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_with_colons_survive_joining() {
        let directories = ["/a:b", "/c\\d", "/e"].map(Path::new);
        let joined = join(directories);
        assert_eq!(joined, OsStr::new("/a\\:b:/c\\\\d:/e"));
        assert_eq!(split(joined.to_str().expect("ASCII")), directories.map(|d| d.as_os_str().to_owned()));
    }
}
